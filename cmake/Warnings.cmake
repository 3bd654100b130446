# Warnings are errors, on g++ 12 and clang 14 alike.
add_library(walvault_warnings INTERFACE)
target_compile_options(walvault_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Wnull-dereference -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Release")
  # g++ 12 reports these for its own library's inlined code (GCC bug 105329).
  target_compile_options(walvault_warnings INTERFACE -Wno-restrict -Wno-null-dereference)
endif()
