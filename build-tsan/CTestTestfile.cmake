# CMake generated Testfile for 
# Source directory: /work/wt/disc
# Build directory: /work/wt/disc/build-tsan
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
subdirs("lib")
subdirs("proxy")
subdirs("controller")
subdirs("bench")
subdirs("demo")
subdirs("tests/unit")
subdirs("fuzz")
subdirs("scripts")
