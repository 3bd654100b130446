# Everything comes from Debian 12 packages: scripts/install-deps.sh.
# libzstd, liblz4, libcrypto, Boost and the C++ library are linked statically and
# spdlog is compiled in: PostgreSQL starts walvault-archive once a segment, and
# loading them would be most of its time. libpq, which only walvault uses, is C.
find_package(Threads REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
add_library(walvault_spdlog INTERFACE)
target_compile_definitions(walvault_spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
target_link_libraries(walvault_spdlog INTERFACE fmt::fmt-header-only)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost REQUIRED COMPONENTS filesystem)

find_library(LIBZSTD NAMES libzstd.a REQUIRED)
find_library(LIBLZ4 NAMES liblz4.a REQUIRED)
find_library(LIBCRYPTO NAMES libcrypto.a REQUIRED)
list(APPEND LIBCRYPTO ${CMAKE_DL_LIBS})

# Headers only: the library is loaded when an object store is used
# (src/storage/s3/curl_library.h).
find_path(CURL_INCLUDE_DIR curl/curl.h REQUIRED)
find_path(PUGIXML_INCLUDE_DIR pugixml.hpp REQUIRED)
find_library(LIBPUGIXML NAMES libpugixml.a REQUIRED)
