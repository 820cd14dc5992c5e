#pragma once
// Shared by the kernels of attention's gradient.

#include "cuda/attention/head.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

struct gradient_arguments {
  attention_batch batch;
  const device::bf16 *dout, *qkv, *out;  // [rows, H, D], [rows, 3, H, D], [rows, H, D]
  const float* lse;                      // [rows, H], log-sum-exp of each query's scaled scores
  device::bf16* dqkv;                    // [rows, 3, H, D]
};

inline gradient_arguments gradient_arguments_of(const ops::attention_backward::args& a) {
  return {attention_batch(a),
          a.dout.as<const device::bf16>(),
          a.qkv.as<const device::bf16>(),
          a.out.as<const device::bf16>(),
          a.log_sum.as<const float>(),
          a.dqkv.as<device::bf16>()};
}

/// delta = Σ p dp over a query's keys = dout · out (Dao et al. 2022, appendix B.2), computed by a quad of
/// lanes. dout's row is in shared memory.
template <int Columns>
__device__ float delta_of(const gradient_arguments& p, const head& h, tile<Columns> d_output, int row,
                          int token) {
  float sum = 0;
  if (token < h.tokens)
    for (int chunk = device::thread_index() % 4; chunk < h.batch.head_dim / 8; chunk += 4) {
      const device::vector16 o = device::load_16(p.out + h.output(token) + 8 * chunk);
      const device::vector16 d = d_output.load_chunk(row, chunk);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const device::pair o_pair = device::unpack_bf16(o.words[j]), d_pair = device::unpack_bf16(d.words[j]);
        sum += o_pair.first * d_pair.first + o_pair.second * d_pair.second;
      }
    }
  return device::quad_sum(sum);
}

/// Base-2 log-sum-exp; +inf for padding rows, so their probabilities are 0.
__device__ inline float lse_of(const gradient_arguments& p, const head& h, int token) {
  return token < h.tokens ? log2_e * p.lse[h.lse(token)] : INFINITY;
}

/// sum [16, Columns] += weights [16, 16] · rows `row` … `row` + 15
template <int Columns>
__device__ void accumulate_product(float (&sum)[Columns / 8][4], const device::fragment& weights,
                                   tile<Columns> rows, int row) {
#pragma unroll
  for (int n = 0; n < Columns / 16; ++n) {
    const device::fragment b = rows.load_b_transposed(row, 16 * n);
    device::mma_m16n8k16(sum[2 * n], weights, b.words[0], b.words[1]);
    device::mma_m16n8k16(sum[2 * n + 1], weights, b.words[2], b.words[3]);
  }
}

/// Stores a 16 x 8 accumulator fragment, whose rows are tokens, in dqkv. The gradients of q and k get the
/// inverse RoPE first.
__device__ inline void store_gradient(const gradient_arguments& p, const head& h, part which, int token,
                                      int column, const float (&x)[4]) {
  column += 2 * (device::lane_index() % 4);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = token + device::lane_index() / 4 + 8 * half;
    if (row >= h.tokens || column >= h.batch.head_dim) continue;
    device::pair two{x[2 * half], x[2 * half + 1]};
    if (which != part::value) two = apply_inverse_rope(h, two, row, column);
    device::store_4(p.dqkv + h.qkv(row, which) + column, device::pack_bf16(two.first, two.second));
  }
}

}  // namespace eva::cuda
