# The standard headers that most files include, compiled once. Every file still
# includes what it uses: clang-tidy reads them without this, and so does a
# release, where g++ 12 takes what is inlined out of them for ours and warns.
# What ccache needs to see through them:
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
else()
  add_compile_options(-fpch-preprocess)
endif()
add_library(walvault_precompiled STATIC ${CMAKE_SOURCE_DIR}/cmake/empty.cpp)
target_link_libraries(walvault_precompiled PRIVATE walvault_warnings)
target_precompile_headers(walvault_precompiled PRIVATE
  <algorithm> <array> <chrono> <cstdint> <functional> <map> <memory> <mutex> <optional> <set>
  <span> <string> <string_view> <thread> <vector>)

# walvault_configure(TARGET [PRECOMPILED LIBRARY])
# Options that every target of this project has.
function(walvault_configure target)
  cmake_parse_arguments(OPTION "" "PRECOMPILED" "" ${ARGN})
  if(NOT OPTION_PRECOMPILED)
    set(OPTION_PRECOMPILED walvault_precompiled)
  endif()
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  target_link_libraries(${target} PRIVATE walvault_warnings)
  target_precompile_headers(${target} REUSE_FROM ${OPTION_PRECOMPILED})
endfunction()

# walvault_program(TARGET)
# What is linked statically stays the program's own. Shared libraries (libpq, libcurl)
# bring an OpenSSL of theirs: the linker would export ours to them, symbol by symbol,
# and mix the two.
function(walvault_program target)
  walvault_configure(${target})
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL)
endfunction()

# walvault_layer(NAME [USES LAYER...] [LINK LIBRARY...])
# Declares the layer in src/NAME, or in NAME for the command folders, as the
# static library walvault_NAME ('/' becomes '_'). A main.cpp there is a program's.
function(walvault_layer name)
  cmake_parse_arguments(LAYER "" "" "USES;LINK" ${ARGN})
  set(folder ${CMAKE_SOURCE_DIR}/src/${name})
  if(NOT IS_DIRECTORY ${folder})
    set(folder ${CMAKE_SOURCE_DIR}/${name})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(REMOVE_ITEM sources ${folder}/main.cpp)
  string(REPLACE "/" "_" target walvault_${name})
  add_library(${target} STATIC ${sources})
  walvault_configure(${target})
  foreach(used IN LISTS LAYER_USES)
    target_link_libraries(${target} PUBLIC walvault_${used})
  endforeach()
  target_link_libraries(${target} PUBLIC ${LAYER_LINK})
endfunction()
