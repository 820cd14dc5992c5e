#pragma once

// Independent multiply-adds whose operands stay in registers, on the calling thread: f32, and for bf16
// operands with f32 sums vdpbf16ps and AMX. A GEMM loads one AMX tile for each product of tiles, because
// there are only eight; amx_loads_window does that from the L1 cache, and nothing else. The FLOPs of a window
// are 0 where the processor has no such instruction, or the compiler was not told of it.
#if defined(__cplusplus)
extern "C" {
#endif

void f32_window(int turns);
void dot_window(int turns);
void amx_window(int turns);
void amx_loads_window(int turns);
double f32_window_flops(int turns);
double dot_window_flops(int turns);
double amx_window_flops(int turns);

#if defined(__cplusplus)
}
#endif
