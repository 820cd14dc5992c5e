#include <vector>

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"
#include "ops/patch_embed.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// One register of doubles, and as many floats.
using double_vec [[gnu::vector_size(lanes * 4)]] = double;
using half_vec [[gnu::vector_size(lanes * 2)]] = float;
constexpr int double_lanes = lanes / 2;

/// Rows of x per block: the accumulators for a panel of `lanes` columns of y stay in registers.
constexpr int block_rows = lanes == 16 ? 8 : 4;

struct wide_sums {
  double_vec low, high;
};

/// sums += x [block_rows, K] · panel [K, lanes].
void multiply_block(const double* x, const double* panel, int64_t inner, wide_sums (&sums)[block_rows]) {
  for (int64_t k = 0; k < inner; ++k, panel += lanes) {
    double_vec low, high;
    std::memcpy(&low, panel, sizeof low);
    std::memcpy(&high, panel + double_lanes, sizeof high);
    for (int r = 0; r < block_rows; ++r) {
      const double value = x[r * inner + k];
      sums[r].low += value * low;
      sums[r].high += value * high;
    }
  }
}

vec to_single(wide_sums sums) {
  struct {
    half_vec low, high;
  } halves{__builtin_convertvector(sums.low, half_vec), __builtin_convertvector(sums.high, half_vec)};
  return std::bit_cast<vec>(halves);
}

/// `count` columns of Wᵀ as a panel [K, lanes], zero-padded.
void pack_panel(const float* weight, int64_t inner, int64_t count, double* panel) {
  for (int64_t k = 0; k < inner; ++k)
    for (int64_t column = 0; column < lanes; ++column)
      panel[k * lanes + column] = column < count ? double(weight[column * inner + k]) : 0.0;
}

/// Rows begin … end-1 of y.
void project(const ops::patch_projection::args& a, int64_t begin, int64_t end) {
  const int64_t inner = a.x.columns(), columns = a.y.columns();
  thread_local std::vector<double> panel, block;
  panel.resize(size_t(inner * lanes));
  block.assign(size_t(inner * block_rows), 0.0);
  for (int64_t column = 0; column < columns; column += lanes) {
    const int count = int(std::min<int64_t>(lanes, columns - column));
    pack_panel(a.weight.as<float>() + column * inner, inner, count, panel.data());
    const vec bias = a.bias.present() ? load(a.bias.as<float>() + column, count) : vec{};
    for (int64_t row = begin; row < end; row += block_rows) {
      const int64_t rows = std::min<int64_t>(block_rows, end - row);
      std::copy_n(a.x.as<float>() + row * inner, rows * inner, block.data());
      wide_sums sums[block_rows]{};
      multiply_block(block.data(), panel.data(), inner, sums);
      for (int64_t r = 0; r < rows; ++r)
        store(a.y.as<float>() + (row + r) * columns + column, to_single(sums[r]) + bias, count);
    }
  }
}

}  // namespace

template <> void run<ops::patch_projection>(const ops::patch_projection::args& a, context& c) {
  parallel_for(c, a.y.rows(), 64, [&](int64_t begin, int64_t end) { project(a, begin, end); });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
