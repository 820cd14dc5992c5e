# The CPU kernels, compiled once for each instruction set; csrc/cpu/dispatch picks one set at run time.
#
# Every variant lives in its own namespace (EVA_CLIP_ISA), but the inline functions and templates of the headers it
# includes do not, and the linker keeps the first copy that it meets. So the variants are archives, which stand behind all
# baseline objects on a link line, from the oldest processor to the newest. scripts/check_isa.mjs disassembles the result.
find_package(OpenMP REQUIRED COMPONENTS CXX)

if(EVA_CLIP_BASELINE)
  set(kernel_variants v2 v3 v4 v4_bf16)
  foreach(level v2 v3 v4)
    set(${level}_options -march=x86-64-${level})
  endforeach()
  set(v4_bf16_options -march=x86-64-v4 -mavx512bf16)
else()
  set(kernel_variants generic)
endif()

# An op that has outgrown its file is a folder.
file(GLOB kernel_sources CONFIGURE_DEPENDS csrc/cpu/*.cpp csrc/cpu/*/*.cpp)
list(FILTER kernel_sources EXCLUDE REGEX csrc/cpu/dispatch/)
# Conversions must not raise a flag that nobody reads: then subnormal numbers need no branch. Values stay as they are.
set_source_files_properties(csrc/cpu/convert_elements.cpp PROPERTIES COMPILE_OPTIONS -fno-trapping-math)
set(EVA_CLIP_KERNELS)
if(kernel_sources)
  foreach(variant IN LISTS kernel_variants)
    add_library(eva_cpu_${variant} STATIC ${kernel_sources})
    target_include_directories(eva_cpu_${variant} PRIVATE csrc)
    target_link_libraries(eva_cpu_${variant} PRIVATE eva_compile_options OpenMP::OpenMP_CXX DNNL::dnnl)
    target_compile_definitions(eva_cpu_${variant} PRIVATE EVA_CLIP_ISA=${variant})
    target_compile_options(eva_cpu_${variant} PRIVATE
      $<$<CONFIG:Release>:-O3> -ffp-contract=fast -fno-math-errno ${${variant}_options})
    list(APPEND EVA_CLIP_KERNELS eva_cpu_${variant})
  endforeach()
endif()
