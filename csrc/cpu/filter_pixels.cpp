#include "cpu/dispatch/filter_pixels.h"

#include <algorithm>

#include "cpu/simd_bytes.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// Sums wrap around, as their parts may exceed 31 bits before the last is added.
using sums_vec = uvec;

/// The products of pairs of pixels with the high and low parts of their weights.
struct split_sums {
  sums_vec high{}, low{};

  void add(short_vec pixels, short_vec high_weights, short_vec low_weights) {
    high += sums_vec(multiply_add(pixels, high_weights));
    low += sums_vec(multiply_add(pixels, low_weights));
  }
  sums_vec total() const { return (high << low_weight_bits) + low; }
};

/// The integer part; sums begin with one half.
ivec rounded(sums_vec sums) { return ivec(sums) >> weight_bits; }
constexpr uint32_t half = 1u << (weight_bits - 1);

/// 16 indices of a shuffle for every block.
template <class... Index> byte_vec in_each_block(Index... indices) {
  struct block {
    uint8_t index[16];
  } const one{{uint8_t(indices)...}};
  byte_vec all;
  for (int i = 0; i < blocks; ++i) std::memcpy(reinterpret_cast<char*>(&all) + 16 * i, &one, sizeof one);
  return all;
}

/// Rows of one step; each has a block.
constexpr int vectors = 2;
constexpr int step_rows = vectors * blocks;

struct step {
  const uint8_t* from[step_rows];
  uint8_t* to[step_rows];
};

// Bound by the multiplications: 8 instructions on 3 of 4 lanes for 4 taps of a row, two of which start per
// cycle.
void filter_step(const step& rows, const column_filter& filter) {
  constexpr int zero = 0x80;
  // Four RGB pixels as 16-bit pairs: r0 r1 g0 g1 b0 b1 of the first two, then of the last two.
  const byte_vec first_two =
      in_each_block(0, zero, 3, zero, 1, zero, 4, zero, 2, zero, 5, zero, zero, zero, zero, zero);
  const byte_vec last_two =
      in_each_block(6, zero, 9, zero, 7, zero, 10, zero, 8, zero, 11, zero, zero, zero, zero, zero);
  for (int64_t column = 0; column < filter.columns; ++column) {
    split_sums sums[vectors];
    for (auto& each : sums) each.low += half;
    int64_t at = filter.first[column] * filter_channels;
    const int16_t* weights = filter.weights + column * filter.stride * 2 * taps_per_group;
    for (int64_t group = 0; group < filter.groups[column]; ++group) {
      const auto pair = [&](int i) { return repeated<short_vec, int32_t>(weights + 2 * i); };
      for (int v = 0; v < vectors; ++v) {
        const byte_vec pixels = load_blocks(rows.from + v * blocks, at);
        sums[v].add(short_vec(shuffle(pixels, first_two)), pair(0), pair(1));
        sums[v].add(short_vec(shuffle(pixels, last_two)), pair(2), pair(3));
      }
      at += taps_per_group * filter_channels;
      weights += 2 * taps_per_group;
    }
    for (int v = 0; v < vectors; ++v) {
      const ivec values = rounded(sums[v].total());
      const short_vec narrowed = narrow(values, values);
      uint32_t pixels[lanes];
      const byte_vec bytes = narrow(narrowed, narrowed);
      std::memcpy(pixels, &bytes, sizeof bytes);
      // The fourth byte is overwritten by the next pixel.
      for (int i = 0; i < blocks; ++i)
        std::memcpy(rows.to[v * blocks + i] + column * filter_channels, pixels + 4 * i, sizeof(uint32_t));
    }
  }
}

void filter_columns(const uint8_t* pixels, int64_t stride, int64_t rows, const column_filter& filter,
                    uint8_t* out, int64_t out_stride) {
  for (int64_t begin = 0; begin < rows; begin += step_rows) {
    step each;
    for (int i = 0; i < step_rows; ++i) {
      // Missing rows are the last one, computed again.
      const int64_t row = std::min(begin + i, rows - 1);
      each.from[i] = pixels + row * stride;
      each.to[i] = out + row * out_stride;
    }
    filter_step(each, filter);
  }
}

constexpr int64_t vector_bytes = sizeof(byte_vec);

// Bound by the multiplications: 16 for two rows of a vector of bytes.
void add_rows(const uint8_t* rows, int64_t stride, int64_t taps, const int16_t* weights, int64_t bytes,
              int32_t* sums) {
  for (int64_t at = 0; at < bytes; at += vector_bytes) {
    split_sums parts[4];
    for (int64_t tap = 0; tap < taps; tap += 2) {
      const uint8_t* row = rows + tap * stride + at;
      const byte_vec first = load_bytes(row);
      // A missing row has weight 0.
      const byte_vec second = load_bytes(tap + 1 < taps ? row + stride : row);
      const auto high = repeated<short_vec, int32_t>(weights + 2 * tap);
      const auto low = repeated<short_vec, int32_t>(weights + 2 * tap + 2);
      const byte_vec pairs[] = {interleave_low(first, second), interleave_high(first, second)};
      for (int i = 0; i < 2; ++i) {
        const byte_vec zero{};
        // Pairs as 16-bit numbers: the even bytes of a pair are the first row's.
        parts[2 * i].add(short_vec(interleave_low(pairs[i], zero)), high, low);
        parts[2 * i + 1].add(short_vec(interleave_high(pairs[i], zero)), high, low);
      }
    }
    for (int i = 0; i < 4; ++i) {
      sums_vec sum;
      int32_t* const to = sums + at + i * lanes;
      std::memcpy(&sum, to, sizeof sum);
      sum += parts[i].total();
      std::memcpy(to, &sum, sizeof sum);
    }
  }
}

void round_sums(const int32_t* sums, int64_t bytes, uint8_t* out) {
  for (int64_t at = 0; at < bytes; at += vector_bytes) {
    ivec values[4];
    for (int i = 0; i < 4; ++i) {
      sums_vec sum;
      std::memcpy(&sum, sums + at + i * lanes, sizeof sum);
      values[i] = rounded(sum + half);
    }
    const byte_vec pixels = narrow(narrow(values[0], values[1]), narrow(values[2], values[3]));
    std::memcpy(out + at, &pixels, size_t(std::min(vector_bytes, bytes - at)));
  }
}

}  // namespace

const pixel_filter& pixel_filters() {
  static constexpr pixel_filter filters{filter_columns, add_rows, round_sums};
  return filters;
}

}  // namespace eva::cpu::EVA_CLIP_ISA
