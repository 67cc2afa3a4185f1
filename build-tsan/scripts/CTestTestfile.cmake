# CMake generated Testfile for 
# Source directory: /work/wt/disc/scripts
# Build directory: /work/wt/disc/build-tsan/scripts
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
add_test([=[house.layers]=] "/work/wt/disc/scripts/check-layers")
set_tests_properties([=[house.layers]=] PROPERTIES  LABELS "house" SKIP_RETURN_CODE "77" TIMEOUT "1200" WORKING_DIRECTORY "/work/wt/disc" _BACKTRACE_TRIPLES "/work/wt/disc/scripts/CMakeLists.txt;4;add_test;/work/wt/disc/scripts/CMakeLists.txt;10;tulle_check;/work/wt/disc/scripts/CMakeLists.txt;0;")
add_test([=[house.banned]=] "/work/wt/disc/scripts/check-banned")
set_tests_properties([=[house.banned]=] PROPERTIES  LABELS "house" SKIP_RETURN_CODE "77" TIMEOUT "1200" WORKING_DIRECTORY "/work/wt/disc" _BACKTRACE_TRIPLES "/work/wt/disc/scripts/CMakeLists.txt;4;add_test;/work/wt/disc/scripts/CMakeLists.txt;11;tulle_check;/work/wt/disc/scripts/CMakeLists.txt;0;")
add_test([=[house.headers]=] "/work/wt/disc/scripts/check-headers")
set_tests_properties([=[house.headers]=] PROPERTIES  LABELS "house" SKIP_RETURN_CODE "77" TIMEOUT "1200" WORKING_DIRECTORY "/work/wt/disc" _BACKTRACE_TRIPLES "/work/wt/disc/scripts/CMakeLists.txt;4;add_test;/work/wt/disc/scripts/CMakeLists.txt;12;tulle_check;/work/wt/disc/scripts/CMakeLists.txt;0;")
add_test([=[house.format]=] "/work/wt/disc/scripts/check-format")
set_tests_properties([=[house.format]=] PROPERTIES  LABELS "house" SKIP_RETURN_CODE "77" TIMEOUT "1200" WORKING_DIRECTORY "/work/wt/disc" _BACKTRACE_TRIPLES "/work/wt/disc/scripts/CMakeLists.txt;4;add_test;/work/wt/disc/scripts/CMakeLists.txt;13;tulle_check;/work/wt/disc/scripts/CMakeLists.txt;0;")
add_test([=[house.tidy]=] "/work/wt/disc/scripts/check-tidy" "/work/wt/disc/build-tsan")
set_tests_properties([=[house.tidy]=] PROPERTIES  LABELS "house" SKIP_RETURN_CODE "77" TIMEOUT "1200" WORKING_DIRECTORY "/work/wt/disc" _BACKTRACE_TRIPLES "/work/wt/disc/scripts/CMakeLists.txt;4;add_test;/work/wt/disc/scripts/CMakeLists.txt;14;tulle_check;/work/wt/disc/scripts/CMakeLists.txt;0;")
add_test([=[house.docs]=] "/work/wt/disc/scripts/gen-docs" "--check")
set_tests_properties([=[house.docs]=] PROPERTIES  LABELS "house" TIMEOUT "60" WORKING_DIRECTORY "/work/wt/disc" _BACKTRACE_TRIPLES "/work/wt/disc/scripts/CMakeLists.txt;15;add_test;/work/wt/disc/scripts/CMakeLists.txt;0;")
add_test([=[system]=] "/work/wt/disc/scripts/test-system" "/work/wt/disc/build-tsan")
set_tests_properties([=[system]=] PROPERTIES  LABELS "system" RUN_SERIAL "ON" SKIP_RETURN_CODE "77" TIMEOUT "1800" WORKING_DIRECTORY "/work/wt/disc" _BACKTRACE_TRIPLES "/work/wt/disc/scripts/CMakeLists.txt;21;add_test;/work/wt/disc/scripts/CMakeLists.txt;0;")
