# CMake generated Testfile for 
# Source directory: /work/wt/disc/fuzz
# Build directory: /work/wt/disc/build-tsan/fuzz
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
add_test([=[corpus.client_hello]=] "/work/wt/disc/build-tsan/fuzz/fuzz_client_hello" "/work/wt/disc/fuzz/corpus/client_hello")
set_tests_properties([=[corpus.client_hello]=] PROPERTIES  LABELS "unit" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/fuzz/CMakeLists.txt;22;add_test;/work/wt/disc/fuzz/CMakeLists.txt;0;")
add_test([=[corpus.csr]=] "/work/wt/disc/build-tsan/fuzz/fuzz_csr" "/work/wt/disc/fuzz/corpus/csr")
set_tests_properties([=[corpus.csr]=] PROPERTIES  LABELS "unit" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/fuzz/CMakeLists.txt;22;add_test;/work/wt/disc/fuzz/CMakeLists.txt;0;")
add_test([=[corpus.detect]=] "/work/wt/disc/build-tsan/fuzz/fuzz_detect" "/work/wt/disc/fuzz/corpus/detect")
set_tests_properties([=[corpus.detect]=] PROPERTIES  LABELS "unit" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/fuzz/CMakeLists.txt;22;add_test;/work/wt/disc/fuzz/CMakeLists.txt;0;")
add_test([=[corpus.h1]=] "/work/wt/disc/build-tsan/fuzz/fuzz_h1" "/work/wt/disc/fuzz/corpus/h1")
set_tests_properties([=[corpus.h1]=] PROPERTIES  LABELS "unit" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/fuzz/CMakeLists.txt;22;add_test;/work/wt/disc/fuzz/CMakeLists.txt;0;")
add_test([=[corpus.manifest]=] "/work/wt/disc/build-tsan/fuzz/fuzz_manifest" "/work/wt/disc/fuzz/corpus/manifest")
set_tests_properties([=[corpus.manifest]=] PROPERTIES  LABELS "unit" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/fuzz/CMakeLists.txt;22;add_test;/work/wt/disc/fuzz/CMakeLists.txt;0;")
add_test([=[corpus.records]=] "/work/wt/disc/build-tsan/fuzz/fuzz_records" "/work/wt/disc/fuzz/corpus/records")
set_tests_properties([=[corpus.records]=] PROPERTIES  LABELS "unit" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/fuzz/CMakeLists.txt;22;add_test;/work/wt/disc/fuzz/CMakeLists.txt;0;")
add_test([=[corpus.wire]=] "/work/wt/disc/build-tsan/fuzz/fuzz_wire" "/work/wt/disc/fuzz/corpus/wire")
set_tests_properties([=[corpus.wire]=] PROPERTIES  LABELS "unit" TIMEOUT "120" _BACKTRACE_TRIPLES "/work/wt/disc/fuzz/CMakeLists.txt;22;add_test;/work/wt/disc/fuzz/CMakeLists.txt;0;")
