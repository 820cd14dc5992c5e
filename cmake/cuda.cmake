# The CUDA backend: a library of its own that the addon opens at run time, so that neither the addon nor its build needs
# anything of CUDA. Asked for with EVA_CLIP_CUDA (`npm run build:cuda`).
option(EVA_CLIP_CUDA "Build libeva_clip_cuda.so, which needs nvcc 12.4 or newer" OFF)
set(EVA_CLIP_CUDA_ARCHITECTURES "" CACHE STRING "GPU architectures to build for; empty: all that nvcc knows")
if(NOT EVA_CLIP_CUDA)
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES OFF)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
  message(FATAL_ERROR "nvcc 12.4 or newer is needed; this is ${CMAKE_CUDA_COMPILER_VERSION}.")
endif()
# SASS for each of them, and PTX of the last for newer cards. The toolkit's major version is the driver's that the library
# needs: one built with CUDA 12 runs on the drivers of CUDA 12 and of all later versions.
set(architectures ${EVA_CLIP_CUDA_ARCHITECTURES})
if(NOT architectures)
  set(architectures 80 86 89 90a)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND architectures 100 120)
  endif()
endif()
# CMake before 3.26 does not know that nvcc has this dialect.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
find_package(CUDAToolkit REQUIRED)

set(cuda_options -O3 --expt-relaxed-constexpr -Xptxas=-v -Xfatbin=-compress-all
    -Xcompiler=-fPIC,-fvisibility=default)
# Drivers before CUDA 12.4 cannot read the smallest mode.
if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13.0)
  list(APPEND cuda_options --compress-mode=size)
elseif(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
  list(APPEND cuda_options --compress-mode=speed)
endif()
foreach(architecture IN LISTS architectures)
  list(APPEND cuda_options "SHELL:-gencode arch=compute_${architecture},code=sm_${architecture}")
endforeach()
list(GET architectures -1 newest)
string(REGEX REPLACE "[a-z]$" "" newest ${newest}) # PTX of 90a is for 9.0 alone
list(APPEND cuda_options "SHELL:-gencode arch=compute_${newest},code=compute_${newest}")
# What ptxas says of each kernel goes beside its object, for scripts/cuda.mjs.
set(cuda_launcher node ${PROJECT_SOURCE_DIR}/scripts/cuda/compile.mjs ${CMAKE_CUDA_COMPILER_LAUNCHER})

# The kernels, and what runs on the host around them.
file(GLOB cuda_kernel_sources CONFIGURE_DEPENDS csrc/cuda/*.cu csrc/cuda/*/*.cu)
file(GLOB cuda_host_sources CONFIGURE_DEPENDS csrc/cuda/*.cpp csrc/cuda/*/*.cpp)
add_library(eva_cuda_kernels OBJECT EXCLUDE_FROM_ALL ${cuda_kernel_sources})
target_include_directories(eva_cuda_kernels PRIVATE csrc)
target_compile_options(eva_cuda_kernels PRIVATE ${cuda_options})
set_target_properties(eva_cuda_kernels PROPERTIES CUDA_COMPILER_LAUNCHER "${cuda_launcher}")
add_library(eva_cuda_host OBJECT EXCLUDE_FROM_ALL ${cuda_host_sources})
target_include_directories(eva_cuda_host PRIVATE csrc)
target_include_directories(eva_cuda_host SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_compile_options(eva_cuda_host PRIVATE ${EVA_CLIP_BASELINE})
target_link_libraries(eva_cuda_host PRIVATE eva_compile_options)
set_target_properties(eva_cuda_host PROPERTIES CXX_VISIBILITY_PRESET default VISIBILITY_INLINES_HIDDEN OFF)
set(cuda_objects $<TARGET_OBJECTS:eva_cuda_kernels> $<TARGET_OBJECTS:eva_cuda_host>)

add_library(eva_clip_cuda MODULE EXCLUDE_FROM_ALL ${cuda_objects})
set_target_properties(eva_clip_cuda PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(eva_clip_cuda PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
set(cuda_exports ${PROJECT_SOURCE_DIR}/cmake/cuda_exports.map)
target_link_options(eva_clip_cuda PRIVATE -Wl,--version-script=${cuda_exports} -Wl,--no-undefined)
set_property(TARGET eva_clip_cuda APPEND PROPERTY LINK_DEPENDS ${cuda_exports})

# The tests of the kernels as programs for a GPU. They share the same objects as a library that hides nothing.
set(gpu_tests ${PROJECT_BINARY_DIR}/gpu_tests)
add_library(eva_cuda_tested SHARED EXCLUDE_FROM_ALL ${cuda_objects})
set_target_properties(eva_cuda_tested PROPERTIES LINKER_LANGUAGE CXX LIBRARY_OUTPUT_DIRECTORY ${gpu_tests})
target_link_libraries(eva_cuda_tested PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
target_link_options(eva_cuda_tested PRIVATE -Wl,--exclude-libs,ALL)
file(GLOB cuda_test_sources CONFIGURE_DEPENDS test/native/cuda/*_test.cpp)
list(FILTER cuda_test_sources EXCLUDE REGEX /emulator_)
add_custom_target(gpu_tests)
foreach(source IN LISTS cuda_test_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(gpu_${name} EXCLUDE_FROM_ALL ${source})
  set_source_files_properties(${source} TARGET_DIRECTORY gpu_${name} PROPERTIES LANGUAGE CUDA)
  target_include_directories(gpu_${name} PRIVATE csrc)
  target_compile_options(gpu_${name} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${cuda_options}>)
  set_target_properties(gpu_${name} PROPERTIES LINKER_LANGUAGE CXX RUNTIME_OUTPUT_DIRECTORY ${gpu_tests}
                        BUILD_RPATH "$ORIGIN" BUILD_RPATH_USE_ORIGIN ON)
  target_link_libraries(gpu_${name} PRIVATE eva_cuda_tested eva_clip_core ${EVA_CLIP_KERNELS} CUDA::cudart_static
                        ${CMAKE_DL_LIBS})
  add_dependencies(gpu_tests gpu_${name})
endforeach()
