#pragma once
// What the kernels of attention's gradient share.

#include "cuda/attention/head.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

struct gradient_arguments {
  attention_batch batch;
  const device::bf16 *dout, *qkv, *out;  // [rows, H, D], [rows, 3, H, D], [rows, H, D]
  const float* log_sum;                  // [rows, H]
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

/// Σ p dp of a query over its keys, which is dout · out, by a quad of lanes; dout's row is in shared memory.
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
        const device::pair a = device::unpack_bf16(o.words[j]), b = device::unpack_bf16(d.words[j]);
        sum += a.first * b.first + a.second * b.second;
      }
    }
  return device::quad_sum(sum);
}

/// In units of ln 2; infinite for what is no token, which makes its probabilities zero.
__device__ inline float log_sum_of(const gradient_arguments& p, const head& h, int token) {
  return token < h.tokens ? log2_e * p.log_sum[h.log_sum(token)] : INFINITY;
}

/// sum [16, Columns] += weights [16, 16] · rows from `row` on
template <int Columns>
__device__ void add_product(float (&sum)[Columns / 8][4], const device::matrices& weights, tile<Columns> rows,
                            int row) {
#pragma unroll
  for (int n = 0; n < Columns / 16; ++n) {
    const device::matrices b = rows.load_b_transposed(row, 16 * n);
    device::multiply_add(sum[2 * n], weights, b.words[0], b.words[1]);
    device::multiply_add(sum[2 * n + 1], weights, b.words[2], b.words[3]);
  }
}

/// A 16 x 8 fragment to dqkv, rows being tokens; the gradients of q and k turn back first.
__device__ inline void store_gradient(const gradient_arguments& p, const head& h, part which, int token,
                                      int column, const float (&x)[4]) {
  column += 2 * (device::lane_index() % 4);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int own = token + device::lane_index() / 4 + 8 * half;
    if (own >= h.tokens || column >= h.batch.head_dim) continue;
    device::pair two{x[2 * half], x[2 * half + 1]};
    if (which != part::value) two = rotate_back(h, two, own, column);
    device::store_4(p.dqkv + h.qkv(own, which) + column, device::pack_bf16(two.first, two.second));
  }
}

}  // namespace eva::cuda
