#include "cuda/attention/attention.h"
#include "cuda/attention/gradient.cuh"
#include "cuda/attention/schedule.h"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

/// How a block divides its tiles of 16 keys: each warp owns every Warps-th one. A single tile that is left
/// over, as the 9th of 129 tokens, is shared: every warp computes its scores and owns some of its columns.
template <int Columns, int KeyTiles, int Warps> struct key_split {
  static constexpr bool shares_tile = KeyTiles > Warps&& KeyTiles % Warps == 1 && Columns / 8 % Warps == 0;
  static constexpr int owned = shares_tile ? KeyTiles / Warps : (KeyTiles + Warps - 1) / Warps;
  static constexpr int tiles = owned + shares_tile;
  static constexpr int shared_row = 16 * (KeyTiles - 1);
  static constexpr int shared_columns = shares_tile ? Columns / Warps : 8;  // of each warp
  static_assert(!shares_tile || shared_columns == 8 || shared_columns == 16);

  /// The first key of a warp's tile.
  __device__ static int row(int tile_index) {
    return tile_index < owned ? 16 * (warp_index() + tile_index * Warps) : shared_row;
  }
};

template <int Columns, int KeyTiles, int Warps> struct layout {  // byte offsets in shared memory
  using rows = tile<Columns>;
  static constexpr int tokens = 16 * KeyTiles, operand_bytes = rows::bytes(tokens);
  static constexpr int query = 0, key = operand_bytes, value = 2 * operand_bytes,
                       d_output = 3 * operand_bytes;
  static constexpr int d_score = 4 * operand_bytes;  // double-buffered
  static constexpr int d_score_bytes = tile<chunk_queries>::bytes(tokens);
  static constexpr int lse = d_score + 2 * d_score_bytes, delta = lse + 4 * tokens;
  static constexpr int positions = delta + 4 * tokens;
  static constexpr int bytes = positions + grid_positions::bytes(tokens);
  static constexpr int sums = 0;  // after all rows have been stored
  static_assert(column_sums_bytes(Warps * warp_size, 3) <= bytes);
};

/// The gradients of a warp's keys and values.
template <int Columns, int KeyTiles, int Warps> struct accumulators {
  using split = key_split<Columns, KeyTiles, Warps>;
  float d_key[split::owned][Columns / 8][4] = {}, d_value[split::owned][Columns / 8][4] = {};
  float shared_d_key[split::shared_columns / 8][4] = {}, shared_d_value[split::shared_columns / 8][4] = {};
};

/// One kernel size: the functions of a block of Warps warps, for heads of up to 16 KeyTiles tokens.
template <int Columns, int KeyTiles, int Warps> struct resident_backward {
  using offsets = layout<Columns, KeyTiles, Warps>;
  using split = key_split<Columns, KeyTiles, Warps>;
  using rows = tile<Columns>;
  using sums_of_warp = accumulators<Columns, KeyTiles, Warps>;
  static constexpr int steps = Columns / 16, tiles = split::tiles;

  const gradient_arguments& p;
  const head& h;
  rows query = rows::at(offsets::query), key = rows::at(offsets::key), value = rows::at(offsets::value),
       d_output = rows::at(offsets::d_output);
  grid_positions positions{shared_at<uint32_t>(offsets::positions)};

  /// Loads Q, K, V and dO into shared memory, and computes the queries' lse and delta.
  __device__ void load() const {
    const int padded = (h.tokens + 15) / 16 * 16;
    copy_rows(h, query, 0, padded, h.rows_of(p.qkv, part::query));
    copy_rows(h, key, 0, padded, h.rows_of(p.qkv, part::key));
    copy_rows(h, value, 0, padded, h.rows_of(p.qkv, part::value));
    copy_rows(h, d_output, 0, padded, h.rows_of(p.dout));
    copy_commit();
    const query_statistics<Columns, offsets::tokens, Warps * warp_size> statistics(p, h, 0);
    if (h.batch.rope) {
      positions.compute(h);
      block_barrier();
    }
    copy_wait<0>();
    apply_rope(h, positions, 0, padded, query, key);
    block_barrier();
    statistics.store(d_output, offsets::lse, offsets::delta, [](int, float) {});
    block_barrier();
  }

  /// product[i] = rows of `a` of the warp's tile i times rows first … first + 15 of `b`, transposed. Tiles
  /// from key `end` on are skipped.
  __device__ void multiply(float (&product)[tiles][2][4], rows a, rows b, int first, int end) const {
#pragma unroll
    for (int k = 0; k < steps; ++k) {
      const fragment right = b.load_b(first, 16 * k);
#pragma unroll
      for (int i = 0; i < tiles; ++i) {
        if (split::row(i) >= end) continue;
        const fragment left = a.load_a(split::row(i), 16 * k);
        mma_m16n8k16(product[i][0], left, right.words[0], right.words[1]);
        mma_m16n8k16(product[i][1], left, right.words[2], right.words[3]);
      }
    }
  }

  /// sum += weightsᵀ · rows first … first + 15 of `b`, for the warp's tiles and its columns of the shared
  /// one.
  __device__ void accumulate(float (&sum)[split::owned][2 * steps][4],
                             float (&shared_sum)[split::shared_columns / 8][4],
                             const fragment (&weights)[tiles], rows b, int first, int end) const {
#pragma unroll
    for (int n = 0; n < steps; ++n) {
      const fragment right = b.load_b_transposed(first, 16 * n);
#pragma unroll
      for (int i = 0; i < split::owned; ++i) {
        if (split::row(i) >= end) continue;
        mma_m16n8k16(sum[i][2 * n], weights[i], right.words[0], right.words[1]);
        mma_m16n8k16(sum[i][2 * n + 1], weights[i], right.words[2], right.words[3]);
      }
    }
    if constexpr (split::shares_tile) {
      if (split::shared_row < end) accumulate_shared(shared_sum, weights[tiles - 1], b, first);
    }
  }

  /// The same for the warp's columns of the shared tile: 8 or 16.
  __device__ void accumulate_shared(float (&sum)[split::shared_columns / 8][4], const fragment& weights,
                                    rows b, int first) const {
    const int column = warp_index() * split::shared_columns;
    const fragment right = b.load_b_transposed(first, column / 16 * 16);
    if constexpr (split::shared_columns == 16) {
      mma_m16n8k16(sum[0], weights, right.words[0], right.words[1]);
      mma_m16n8k16(sum[1], weights, right.words[2], right.words[3]);
    } else {
      const bool second = column % 16 != 0;
      mma_m16n8k16(sum[0], weights, second ? right.words[2] : right.words[0],
                   second ? right.words[3] : right.words[1]);
    }
  }

  /// Pᵀ of the warp's keys and queries first … first + 15, packed as A fragments.
  __device__ void probabilities(fragment (&probability)[tiles], int first, int end) const {
    float score[tiles][2][4] = {};
    multiply(score, key, query, first, end);
    const int g = lane_index() / 4, t = lane_index() % 4;
    const auto lse = shared_at<pair>(offsets::lse);
    const float factor = h.batch.scale * log2_e;
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int token = first + 8 * n + 2 * t;
      const pair two = lse.load(token / 2);
#pragma unroll
      for (int i = 0; i < tiles; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int last = h.batch.causal ? min(token + j % 2, h.tokens - 1) : h.tokens - 1;
          const bool visible = split::row(i) + g + 8 * (j / 2) <= last;
          float& s = score[i][n][j];
          s = visible ? exp2_fast(s * factor - (j % 2 ? two.second : two.first)) : 0;
        }
    }
#pragma unroll
    for (int i = 0; i < tiles; ++i) probability[i] = pack_operand(score[i][0], score[i][1]);
  }

  /// √D dSᵀ of the same scores, p (v doutᵀ - delta), in place of the probabilities.
  __device__ void score_gradients(fragment (&probability)[tiles], int first, int end) const {
    float gradient[tiles][2][4] = {};
    multiply(gradient, value, d_output, first, end);
    const auto delta = shared_at<pair>(offsets::delta);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const pair deltas = delta.load((first + 8 * n) / 2 + lane_index() % 4);
#pragma unroll
      for (int i = 0; i < tiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          uint32_t& word = probability[i].words[2 * n + half];
          const pair both = unpack_bf16(word);
          const float* two = gradient[i][n] + 2 * half;
          word = pack_bf16(both.first * (two[0] - deltas.first), both.second * (two[1] - deltas.second));
        }
    }
  }

  /// Adds what queries first … first + 15 contribute to the gradients of the warp's keys and values, and
  /// stores their dSᵀ in columns `offset` … of d_score.
  __device__ void add_queries(sums_of_warp& sums, tile<chunk_queries> d_score, int first, int offset,
                              int end) const {
    // P and dS one after the other: the accumulators leave few registers.
    fragment weights[tiles];
    probabilities(weights, first, end);
    accumulate(sums.d_value, sums.shared_d_value, weights, d_output, first, end);
    score_gradients(weights, first, end);
#pragma unroll
    for (int i = 0; i < tiles; ++i) {
      if (split::row(i) >= end || (i == split::owned && warp_index() > 0)) continue;
#pragma unroll
      for (int j = 0; j < 4; ++j)
        d_score.store_pair(split::row(i) + lane_index() / 4 + 8 * (j % 2),
                           offset + 8 * (j / 2) + 2 * (lane_index() % 4), weights[i].words[j]);
    }
    accumulate(sums.d_key, sums.shared_d_key, weights, query, first, end);
  }

  /// dQ = dS K of a chunk of queries, over the chunk's rows of Q, which no warp reads any more.
  __device__ void query_gradients(tile<chunk_queries> d_score, int first, int end) const {
    constexpr int width = Columns % 32 == 0 && 2 * steps > Warps ? 32 : 16, blocks = Columns / width;
    for (int item = warp_index(); item < chunk_queries / 16 * blocks; item += Warps) {
      const int offset = item / blocks * 16, column = item % blocks * width;
      if (first + offset >= h.tokens) break;
      float d_query[width / 8][4] = {};
#pragma unroll 1
      for (int key_token = 0; key_token < end; key_token += 16) {
        const fragment a = d_score.load_a_transposed(key_token, offset);
#pragma unroll
        for (int n = 0; n < width; n += 16) {
          const fragment b = key.load_b_transposed(key_token, column + n);
          mma_m16n8k16(d_query[n / 8], a, b.words[0], b.words[1]);
          mma_m16n8k16(d_query[n / 8 + 1], a, b.words[2], b.words[3]);
        }
      }
      multiply_by(d_query, h.batch.scale);
      apply_inverse_rope(h, positions, d_query, first + offset, column);
      store_accumulators(query, first + offset, column, d_query);
    }
  }

  /// Stores the gradients, and the sums of their columns.
  __device__ void store(sums_of_warp& sums) const {
    const auto d_query = h.rows_of(p.dqkv, part::query), d_key = h.rows_of(p.dqkv, part::key),
               d_value = h.rows_of(p.dqkv, part::value);
    chunk_sums column_sums[3];
    // Only this warp reads its rows of V. dV first: its stores need no angles, and then free half of the
    // registers.
#pragma unroll
    for (int i = 0; i < split::owned; ++i)
      if (split::row(i) < h.tokens)
        store_gradient(h, d_value, split::row(i), value, split::row(i), sums.d_value[i], column_sums[2]);
#pragma unroll
    for (int i = 0; i < split::owned; ++i) {
      if (split::row(i) >= h.tokens) continue;
      multiply_by(sums.d_key[i], h.batch.scale);
      apply_inverse_rope(h, positions, sums.d_key[i], split::row(i), 0);
      store_gradient(h, d_key, split::row(i), value, split::row(i), sums.d_key[i], column_sums[1]);
    }
    block_barrier();  // dQ is complete, and all reads of K and V are done
    for (int row = 16 * warp_index(); row < h.tokens; row += 16 * Warps)
      store_rows(h, query, row, row, d_query, [&](const vector16& v) { column_sums[0].add(v); });
    if constexpr (split::shares_tile) {
      const int row = split::shared_row, column = warp_index() * split::shared_columns;
      multiply_by(sums.shared_d_key, h.batch.scale);
      apply_inverse_rope(h, positions, sums.shared_d_key, row, column);
      store_accumulators(key, row, column, sums.shared_d_key);
      store_accumulators(value, row, column, sums.shared_d_value);
      block_barrier();
      if (warp_index() == 0) {
        store_rows(h, key, row, row, d_key, [&](const vector16& v) { column_sums[1].add(v); });
        store_rows(h, value, row, row, d_value, [&](const vector16& v) { column_sums[2].add(v); });
      }
    }
    store_column_sums<Columns>(p, h, h.sequence, part::query, offsets::sums, column_sums);
  }
};

// One block per head, with Q, K, V and dO in shared memory. Each warp keeps dK and dV of its keys in
// registers. For each chunk of queries it computes Sᵀ and dSᵀ of its keys, dV += Pᵀ dO, dK += dSᵀ Q and
// stores dSᵀ in shared memory; after one barrier, dQ = dS K over all keys. Without atomics, so the result is
// deterministic, and nothing but the result is written to global memory.
//
// Expected bound: HBM bandwidth; 16 D bytes per token and head (q, k, v, o and dout read, dq, dk and dv
// written). Blocks per SM: see backward_schedules.
template <int Columns, int KeyTiles, int Warps, int Blocks>
__global__ void __launch_bounds__(Warps* warp_size, Blocks)
    attention_backward_resident_kernel(gradient_arguments p) {
  using offsets = layout<Columns, KeyTiles, Warps>;
  const head h(p.batch, block_index() / p.batch.heads, block_index() % p.batch.heads);
  if (h.tokens > offsets::tokens) return;
  const resident_backward<Columns, KeyTiles, Warps> block{p, h};
  block.load();
  accumulators<Columns, KeyTiles, Warps> sums;
  for (int first = 0; first < h.tokens; first += chunk_queries) {
    // The keys visible to these queries.
    const int end = h.batch.causal ? min(first + chunk_queries, h.tokens) : h.tokens;
    const auto d_score =
        tile<chunk_queries>::at(offsets::d_score + first / chunk_queries % 2 * offsets::d_score_bytes);
#pragma unroll 1
    for (int offset = 0; offset < chunk_queries && first + offset < h.tokens; offset += 16)
      block.add_queries(sums, d_score, first + offset, offset, end);
    block_barrier();  // one per chunk suffices: the next chunk writes the other d_score
    block.query_gradients(d_score, first, end);
  }
  block.store(sums);
}

template <resident_schedule S> bool start(const gradient_arguments& p, int tokens, context& c) {
  constexpr int shared_bytes = layout<S.columns, S.tiles, S.warps>::bytes;
  if (!S.fits(p.batch.head_dim, tokens, shared_bytes, c.properties.shared_bytes_per_block)) return false;
  launch(attention_backward_resident_kernel<S.columns, S.tiles, S.warps, S.blocks>,
         p.batch.sequences * p.batch.heads, S.warps * warp_size, shared_bytes, c.stream, p);
  return true;
}

}  // namespace

bool attention_backward_resident(const gradient_arguments& p, context& c) {
  if (p.batch.starts && p.batch.head_dim > 64) return false;  // longer tiles would leave one block per SM
  const int tokens = p.batch.starts ? longest_resident : p.batch.tokens;
  return first_of<backward_schedules>([&]<resident_schedule S>() { return start<S>(p, tokens, c); });
}

}  // namespace eva::cuda
