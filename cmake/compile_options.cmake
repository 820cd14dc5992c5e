# Flags shared by all of our code: warnings, sanitizers, and the oldest processor that baseline code must run on.

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 11)
  message(FATAL_ERROR "GCC 11 or newer is needed (C++20, -march=x86-64-v4); this is ${CMAKE_CXX_COMPILER_VERSION}.")
endif()

# Each compiler release warns about other things: warnings are errors only with the one that CI uses.
set(werror_default OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.")
  set(werror_default ON)
endif()
option(EVA_CLIP_WERROR "Treat warnings as errors" ${werror_default})

add_library(eva_compile_options INTERFACE)
# The last two silence GCC's notes on vector types as arguments and template parameters: such functions are always
# compiled for one instruction set and never called across a library boundary.
set(warnings
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual -Wundef -Wvla
  -Wextra-semi -Wcast-qual $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op> -Wno-psabi -Wno-ignored-attributes
  $<$<BOOL:${EVA_CLIP_WERROR}>:-Werror>)
# nvcc reads some of these words in its own way.
target_compile_options(eva_compile_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")

if(EVA_CLIP_SANITIZE)
  # Line numbers are all that reports need; the locations of variables take as long to compute as the rest.
  target_compile_options(eva_compile_options INTERFACE -g1
    -fsanitize=${EVA_CLIP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(eva_compile_options INTERFACE -fsanitize=${EVA_CLIP_SANITIZE})
endif()

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(EVA_CLIP_BASELINE -march=x86-64-v2)
endif()
