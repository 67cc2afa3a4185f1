# CMake generated Testfile for 
# Source directory: /work/wt/disc/proxy
# Build directory: /work/wt/disc/build-tsan/proxy
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
