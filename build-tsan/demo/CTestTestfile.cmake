# CMake generated Testfile for 
# Source directory: /work/wt/disc/demo
# Build directory: /work/wt/disc/build-tsan/demo
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
add_test([=[demo_parts]=] "/root/.pyenv/shims/python3" "-m" "unittest" "discover" "-s" "/work/wt/disc/demo/tests" "-p" "test_*.py")
set_tests_properties([=[demo_parts]=] PROPERTIES  ENVIRONMENT "TULLE_DEMO=/work/wt/disc/build-tsan/demo/tulle-demo" LABELS "system" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/demo/CMakeLists.txt;12;add_test;/work/wt/disc/demo/CMakeLists.txt;0;")
