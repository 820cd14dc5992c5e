#include "cpu/gemm/gemm.h"

#include <omp.h>

#include "core/error.h"
#include "cpu/dispatch/onednn_gemm.h"
#include "cpu/gemm/activated_gemm.h"
#include "cpu/gemm/blocked_gemm.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

struct empty_gemm final : prepared_gemm {
  void run(const gemm_operands&) override {}
};

/// Intel executes a VDPBF16PS in more than the time of two FMAs; AMD (Zen 4 and 5) in that of one.
bool is_amd() {
#if defined(__x86_64__)
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

/// The fastest of our engines.
gemm_engine own_engine(dtype type) {
  if (type == dtype::f32) return gemm_engine::fma;
  if (amx_engine()) return gemm_engine::amx;
  return dot_engine() && is_amd() ? gemm_engine::dot : gemm_engine::fma;
}

/// Whether our engine is faster than oneDNN 2.6.3, by benchmarks/native/gemm.cpp on two cores of a
/// Sapphire Rapids Xeon that others used, too.
/// f32: it is 0.85 to 1.05 times as fast.
/// bf16 with AMX: gradients (b row-major) are 0.85 to 1.2 times as fast; products with a transposed b 0.75 to
/// 0.95 times with 1024 rows or more, but 2 to 5 times with some hundred, where oneDNN has numbers of rows,
/// such as 290 and 300, that it divides badly. Few rows are 0.5 to 0.9 times as fast, because each call packs
/// b. Both reach about half of the rate at which tiles can be loaded from the L1 cache. bf16 with AVX-512 but
/// neither AMX nor AVX512_BF16 (measured with ONEDNN_MAX_CPU_ISA): 3 to 5 times as fast with many rows, 1.3
/// times with 10, because oneDNN emulates bf16. With AVX512_BF16 on Intel: 1.4 times as fast, with 10 rows
/// 0.65 times; on AMD (Zen 4): 0.9 to 1.08 times, and no faster in a whole step. With AVX2: 0.9 to 1.1 times.
bool beats_onednn(const gemm_spec& spec) {
  if (spec.a.type != dtype::bf16 || spec.c.batch > 1) return false;
  if (!amx_engine()) return lanes == 16 && (!dot_engine() || (!is_amd() && spec.c.rows >= 128));
  if (spec.c.columns < 512) return false;
  if (spec.b.column_stride == 1) return spec.c.rows >= 128;
  return spec.c.rows >= 272 && spec.c.rows < 1024 && spec.a.columns >= 512;
}

gemm_engine engine_for(const gemm_spec& spec) {
  if (spec.a.type != spec.b.type || spec.c.column_stride != 1) return gemm_engine::onednn;
  return beats_onednn(spec) ? own_engine(spec.a.type) : gemm_engine::onednn;
}

const engine* find(gemm_engine kind, dtype type) {
  if (kind == gemm_engine::fma) return fma_engine(type);
  if (type != dtype::bf16) return nullptr;
  return kind == gemm_engine::amx ? amx_engine() : dot_engine();
}

}  // namespace

std::unique_ptr<prepared_gemm> prepare_gemm(const gemm_spec& spec) {
  if (spec.c.rows == 0 || spec.c.columns == 0 || spec.c.batch == 0) return std::make_unique<empty_gemm>();
  if (spec.a.columns == 0) throw shape_error("matrix product: the inner dimension must be at least 1");
  const gemm_engine kind = spec.engine == gemm_engine::automatic ? engine_for(spec) : spec.engine;
  if (kind == gemm_engine::onednn && (spec.pre || spec.activation != ops::activation::none))
    return std::make_unique<activated_gemm>(spec, onednn_gemm);
  if (kind == gemm_engine::onednn) return onednn_gemm(spec);
  const engine* found = find(kind, spec.a.type);
  if (!found) throw device_error("the processor does not have this GEMM engine");
  return std::make_unique<blocked_gemm>(spec, *found, omp_get_max_threads());
}

}  // namespace eva::cpu::EVA_CLIP_ISA
