#pragma once
// Shared by the tensor-core kernels of attention's gradient.

#include "cuda/attention/rope.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

struct gradient_arguments {
  attention_batch batch;
  const device::bf16 *dout, *qkv, *out;  // [rows, H, D], [rows, 3, H, D], [rows, H, D]
  const float* lse;                      // [rows, H], log-sum-exp of each query's scaled scores
  device::bf16* dqkv;                    // [rows, 3, H, D]
  float* sums;                           // [partial sums, 3, H, D]: column sums of dqkv; null if not wanted
};

/// out and lse of the queries, held in registers from before the copies of dO are waited for, so that the
/// latencies overlap. A quad of lanes has rows thread / 4, thread / 4 + Threads / 4, … of a tile of Rows.
template <int Columns, int Rows, int Threads> class query_statistics {
 public:
  __device__ query_statistics(const gradient_arguments& p, const head& h, int begin) {
    const auto out = h.rows_of(p.out);
#pragma unroll
    for (int i = 0; i < rounds; ++i) {
      const int token = begin + row_of(i);
      const bool valid = row_of(i) < Rows && token < h.tokens;
      // +inf for padding rows, so their probabilities are 0.
      lse_[i] = valid ? log2_e * p.lse[h.lse(token)] : INFINITY;
#pragma unroll
      for (int j = 0; j < quad_chunks; ++j) {
        const int chunk = chunk_of(j);
        out_[i][j] = valid && 8 * chunk < h.batch.head_dim ? device::load_16(out.row(token) + 8 * chunk)
                                                           : device::vector16{};
      }
    }
  }

  /// Stores lse (base 2) and delta = Σ p dp over a query's keys = dout · out (Dao et al. 2022, appendix B.2).
  /// visit(row, delta): called by one lane per row.
  template <class Visit>
  __device__ void store(tile<Columns> d_output, int lse_offset, int delta_offset, const Visit& visit) const {
    const auto lse = device::shared_at<float>(lse_offset), delta = device::shared_at<float>(delta_offset);
#pragma unroll
    for (int i = 0; i < rounds; ++i) {
      const int row = row_of(i);
      float sum = 0;
      if (row < Rows && lse_[i] < INFINITY) {
#pragma unroll
        for (int j = 0; j < quad_chunks; ++j) {
          if (chunk_of(j) >= Columns / 8) break;
          const device::vector16 d = d_output.load_chunk(row, chunk_of(j));
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            const device::pair o_pair = device::unpack_bf16(out_[i][j].words[k]),
                               d_pair = device::unpack_bf16(d.words[k]);
            sum += o_pair.first * d_pair.first + o_pair.second * d_pair.second;
          }
        }
      }
      sum = device::quad_sum(sum);
      if (device::thread_index() % 4 != 0 || row >= Rows) continue;
      delta.store(row, sum);
      lse.store(row, lse_[i]);
      visit(row, sum);
    }
  }

 private:
  static constexpr int rounds = (4 * Rows + Threads - 1) / Threads, quad_chunks = (Columns / 8 + 3) / 4;

  __device__ static int row_of(int round) { return device::thread_index() / 4 + round * (Threads / 4); }
  __device__ static int chunk_of(int j) { return device::thread_index() % 4 + 4 * j; }

  device::vector16 out_[rounds][quad_chunks];
  float lse_[rounds];
};

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

template <int Tiles> __device__ void multiply_by(float (&x)[Tiles][4], float factor) {
#pragma unroll
  for (int n = 0; n < Tiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) x[n][i] *= factor;
}

/// The sums of the 8 columns of a lane's chunk (store_rows) over the rows that it stores.
struct chunk_sums {
  float columns[8] = {};

  __device__ void add(const device::vector16& v) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const device::pair two = device::unpack_bf16(v.words[j]);
      columns[2 * j] += two.first;
      columns[2 * j + 1] += two.second;
    }
  }
};

/// Stores the warp's accumulators, tokens token … token + 15 of a gradient, through rows row … row + 15 of a
/// tile, which no other warp accesses, so that the stores are 16 bytes wide.
template <int Columns>
__device__ void store_gradient(const head& h, head_rows<device::bf16> to, int token, tile<Columns> through,
                               int row, const float (&x)[Columns / 8][4], chunk_sums& sums) {
  device::warp_barrier();
  store_accumulators(through, row, 0, x);
  device::warp_barrier();
  store_rows(h, through, row, token, to, [&](const device::vector16& v) { sums.add(v); });
}

constexpr int column_sums_bytes(int threads, int operands) { return 32 * threads * operands; }

/// Adds the lanes' sums up, in a fixed order, to row `partial` of p.sums: operand `first` and those after it.
/// Needs column_sums_bytes of shared memory. adds: to what an earlier call of the block stored there.
template <int Columns, int Operands>
__device__ void store_column_sums(const gradient_arguments& p, const head& h, int partial, part first,
                                  int shared_offset, const chunk_sums (&sums)[Operands], bool adds = false) {
  using lanes = lane_chunks<Columns>;
  if (!p.sums) return;
  const auto shared = device::shared_at<float>(shared_offset);  // [Operands, threads, 8]
  const int threads = device::block_threads(), head_dim = h.batch.head_dim;
  device::block_barrier();
#pragma unroll
  for (int operand = 0; operand < Operands; ++operand)
#pragma unroll
    for (int i = 0; i < 8; ++i)
      shared.store((operand * threads + device::thread_index()) * 8 + i, sums[operand].columns[i]);
  device::block_barrier();
  for (int i = device::thread_index(); i < Operands * head_dim; i += threads) {
    const int operand = i / head_dim, column = i % head_dim;
    float total = 0;
    for (int warp = 0; warp < threads / device::warp_size; ++warp)
      for (int row = 0; row < lanes::rows; ++row) {
        const int thread = warp * device::warp_size + row * lanes::chunks + column / 8;
        total += shared.load((operand * threads + thread) * 8 + column % 8);
      }
    const int of = (int(first) + operand) * h.batch.heads + h.index;
    float* to = p.sums + size_t(partial) * size_t(3 * h.batch.heads * head_dim) + (of * head_dim + column);
    *to = adds ? *to + total : total;
  }
}

}  // namespace eva::cuda
