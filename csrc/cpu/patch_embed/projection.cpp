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
/// Blocks of x that are converted at a time: of 768 columns 200 KB, which stay in L2 while they are
/// multiplied by all panels, so that a panel is read from L3 once per 32 rows.
constexpr int chunk_blocks = 32 / block_rows;
/// Columns of x per pass over a chunk: 128 rows of a panel stay in L1.
constexpr int64_t slice = 128;

struct wide_sums {
  double_vec low, high;
};

/// sums += x [block_rows, depth] · panel [depth, lanes].
void multiply_block(const double* x, int64_t pitch, const double* panel, int64_t depth,
                    wide_sums (&sums)[block_rows]) {
  for (int64_t k = 0; k < depth; ++k, panel += lanes) {
    double_vec low, high;
    std::memcpy(&low, panel, sizeof low);
    std::memcpy(&high, panel + double_lanes, sizeof high);
    for (int r = 0; r < block_rows; ++r) {
      const double value = x[r * pitch + k];
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

struct projection {
  const ops::patch_projection::args& a;
  int64_t rows = a.y.rows(), inner = a.x.columns(), columns = a.y.columns();
  int64_t panels = (columns + lanes - 1) / lanes, blocks = (rows + block_rows - 1) / block_rows;
  int64_t panel_size = inner * lanes, block_size = inner * block_rows;

  int64_t width_of(int64_t panel) const { return std::min<int64_t>(lanes, columns - panel * lanes); }

  void pack(int64_t begin, int64_t end, double* packed) const {
    for (int64_t i = begin; i < end; ++i)
      pack_panel(a.weight.as<float>() + i * panel_size, inner, width_of(i), packed + i * panel_size);
  }

  /// y's rows of blocks begin … end-1. `chunk`: chunk_blocks blocks.
  void multiply(int64_t begin, int64_t end, const double* packed, double* chunk) const {
    for (int64_t first = begin; first < end; first += chunk_blocks) {
      const int64_t count = std::min<int64_t>(chunk_blocks, end - first);
      const int64_t row = first * block_rows, chunk_rows = std::min(rows - row, count * block_rows);
      std::copy_n(a.x.as<float>() + row * inner, chunk_rows * inner, chunk);
      std::fill(chunk + chunk_rows * inner, chunk + count * block_size, 0.0);
      for (int64_t panel = 0; panel < panels; ++panel)
        multiply_panel(row, count, chunk, panel, packed + panel * panel_size);
    }
  }

  /// The panel's columns of y, of `count` blocks from `row` on.
  void multiply_panel(int64_t row, int64_t count, const double* chunk, int64_t panel,
                      const double* packed) const {
    wide_sums sums[chunk_blocks][block_rows]{};
    for (int64_t k = 0; k < inner; k += slice)
      for (int64_t i = 0; i < count; ++i)
        multiply_block(chunk + i * block_size + k, inner, packed + k * lanes,
                       std::min<int64_t>(slice, inner - k), sums[i]);
    const int64_t column = panel * lanes;
    const int width = int(width_of(panel));
    const vec bias = a.bias.present() ? load(a.bias.as<float>() + column, width) : vec{};
    for (int64_t r = 0; r < std::min(count * block_rows, rows - row); ++r)
      store(a.y.as<float>() + (row + r) * columns + column,
            to_single(sums[r / block_rows][r % block_rows]) + bias, width);
  }
};

}  // namespace

template <> void run<ops::patch_projection>(const ops::patch_projection::args& a, context& c) {
  const projection all{a};
  const int64_t packed_size = all.panels * all.panel_size, chunk_size = chunk_blocks * all.block_size;
  thread_local std::vector<double> scratch;
  scratch.resize(size_t(packed_size + c.threads * chunk_size));
  double* const packed = scratch.data();
  parallel_team(c, all.rows < 64, [&](int64_t thread, int64_t team, const auto& barrier) {
    all.pack(all.panels * thread / team, all.panels * (thread + 1) / team, packed);
    barrier();
    all.multiply(all.blocks * thread / team, all.blocks * (thread + 1) / team, packed,
                 packed + packed_size + thread * chunk_size);
  });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
