#include "cpu/dispatch/instruction_set.h"
#include "cpu/gemm/gemm.h"

namespace eva::cpu::EVA_CLIP_ISA {

kernel_table kernels();
convert_run conversion(stored_dtype from, stored_dtype to);
std::vector<std::vector<neighbor>> nearest_rows(const nearest_args&, const context&);
const pixel_filter& pixel_filters();

// Data, not a function: a processor without these instructions reads it, too.
extern constinit const variant functions{kernels, conversion, nearest_rows, pixel_filters, prepare_gemm};

}  // namespace eva::cpu::EVA_CLIP_ISA
