# Warnings, sanitizers, and the one way a library or program is declared.
find_program(TULLE_CCACHE ccache)
if(TULLE_CCACHE AND NOT DEFINED CMAKE_C_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${TULLE_CCACHE})
endif()

find_package(PkgConfig REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)

add_library(tulle_flags INTERFACE)
target_compile_definitions(tulle_flags INTERFACE _GNU_SOURCE TULLE_VERSION="${PROJECT_VERSION}")
target_include_directories(tulle_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(tulle_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wwrite-strings -Wformat=2 -Wno-format-zero-length -Wundef -Wvla
  -fno-strict-aliasing -fno-common)
if(TULLE_SANITIZE)
  target_compile_options(tulle_flags INTERFACE -fsanitize=${TULLE_SANITIZE}
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(tulle_flags INTERFACE -fsanitize=${TULLE_SANITIZE})
else()
  target_compile_options(tulle_flags INTERFACE -fstack-protector-strong
    $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  target_link_options(tulle_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
if(TULLE_FUZZ)
  target_compile_options(tulle_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(TULLE_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT lto_works OUTPUT lto_why LANGUAGES C)
  if(lto_works)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  else()
    message(WARNING "no link-time optimization: ${lto_why}")
  endif()
endif()

# tulle_library(base DEPENDS ...): every .c of the folder is the library. A
# folder without any .c yet is a library of headers.
function(tulle_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.c)
  if(sources)
    add_library(tulle_${name} STATIC ${sources})
    target_link_libraries(tulle_${name} PUBLIC tulle_flags Threads::Threads ${ARG_DEPENDS})
  else()
    add_library(tulle_${name} INTERFACE)
    target_link_libraries(tulle_${name} INTERFACE tulle_flags Threads::Threads ${ARG_DEPENDS})
  endif()
endfunction()
