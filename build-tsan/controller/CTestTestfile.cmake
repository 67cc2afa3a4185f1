# CMake generated Testfile for 
# Source directory: /work/wt/disc/controller
# Build directory: /work/wt/disc/build-tsan/controller
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
