#include "cpu/gemm/blocked_gemm.h"

#include <omp.h>

#include <algorithm>
#include <array>

#include "cpu/dispatch/workspace.h"
#include "cpu/gemm/epilogue.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t unit) { return ceil_divide(a, unit) * unit; }

/// Words of memory. A block of a takes half of the smallest L2 cache of processors of this variant.
constexpr int64_t a_block_words = (lanes == 16 ? 512 : 192) * 256;
/// What is packed of b at a time, at most; a multiple of what all threads' blocks of a need of it.
constexpr int64_t b_block_words = int64_t(2) << 20;
/// After so many words of K, sums go through c if it is f32, so that a block of a has enough rows.
constexpr int64_t max_depth_step = 1024;
/// Words of K of a panel of b that a thread packs at a time for all threads.
constexpr int64_t pack_depth = 256;
/// Lines of memory that are requested before they are used, at most: those of 64 KiB.
constexpr int64_t max_lines = 1024;
/// Fewer multiply-adds than this are not worth waking threads, which takes about 5 µs.
constexpr double least_for_team = 0.5e6;

/// `count` items in the fewest steps of at most `most`, of nearly equal size: the size of a step.
constexpr int64_t even_step(int64_t count, int64_t most, int64_t unit) {
  return round_up(ceil_divide(count, ceil_divide(count, most)), unit);
}

struct grid {
  int64_t rows, columns;
  double cost;
};

/// Divides the panels of c between threads. Packing a row panel costs about half of a tile.
grid best_grid(int team, int64_t row_panels, int64_t column_panels) {
  grid best{};
  for (int64_t rows = team; rows >= 1; --rows) {
    const int64_t columns = team / rows;
    const double cost =
        double(ceil_divide(row_panels, rows)) * (double(ceil_divide(column_panels, columns)) + 0.5);
    if (best.rows == 0 || cost < best.cost) best = {rows, columns, cost};
  }
  return best;
}

template <class T> const T* offset(const T* p, int64_t elements) { return p ? p + elements : nullptr; }
template <class T> T* offset(T* p, int64_t elements) { return p ? p + elements : nullptr; }

const void* advance(const void* p, int64_t elements, dtype type) {
  return static_cast<const std::byte*>(p) + elements * size_of(type);
}

struct range {
  int64_t begin, end;
};
range part(range whole, int64_t index, int64_t parts) {
  const int64_t count = whole.end - whole.begin;
  return {whole.begin + count * index / parts, whole.begin + count * (index + 1) / parts};
}

}  // namespace

blocked_gemm::blocked_gemm(const gemm_spec& spec, const engine& with, int threads)
    : spec_(spec),
      engine_(with),
      words_(round_up(ceil_divide(spec.a.columns, with.elements_per_word), with.depth_unit)),
      row_panels_(ceil_divide(spec.c.rows, with.tile_rows)),
      column_panels_(ceil_divide(spec.c.columns, tile_columns)) {
  const double work =
      double(spec.c.batch) * double(spec.c.rows) * double(spec.c.columns) * double(spec.a.columns);
  threads_ = work < least_for_team ? 1 : threads;
  depth_step_ = spec.c.type == dtype::f32 ? even_step(words_, max_depth_step, with.depth_unit) : words_;
  const int64_t panel_words = depth_step_ * with.a_pitch;
  block_panels_ = std::clamp<int64_t>(a_block_words / std::max<int64_t>(panel_words, 1), 1, row_panels_);
  const grid shares = best_grid(threads_, row_panels_, column_panels_);
  const double streamed_cost = double(row_panels_) * (double(ceil_divide(column_panels_, threads_)) + 0.5);
  streamed_ = block_panels_ == row_panels_ && streamed_cost <= 1.1 * shares.cost;
  const int64_t b_panel_words = depth_step_ * tile_columns;
  column_step_ = std::clamp<int64_t>(b_block_words / std::max<int64_t>(b_panel_words, 1), 1, column_panels_);
  a_words_ = block_panels_ * panel_words;
  b_words_ = streamed_ ? round_up(with.depth_block, with.depth_unit) * tile_columns * 2 : 0;
  thread_words_ = a_words_ + b_words_ + block_panels_ * max_tile_rows * tile_columns;
  shared_words_ = streamed_ ? a_words_ : column_step_ * b_panel_words;
}

int64_t blocked_gemm::row_begin(int64_t panel) const {
  return std::min(round_up(spec_.c.rows * panel / row_panels_, engine_.row_unit), spec_.c.rows);
}

/// What one thread of a team does.
class gemm_worker {
 public:
  gemm_worker(const blocked_gemm& g, word* memory, int thread, int team)
      : g_(g),
        spec_(g.spec_),
        engine_(g.engine_),
        thread_(thread),
        team_(team),
        shared_(memory),
        a_(memory + g.shared_words_ + thread * g.thread_words_),
        b_(a_ + g.a_words_),
        sums_(reinterpret_cast<float*>(b_ + g.b_words_)) {}

  void run(const gemm_operands& on) {
    for (int64_t n = 0; n < spec_.c.batch; ++n) {
      on_ = on;
      on_.a = advance(on.a, n * spec_.a.batch_stride, spec_.a.type);
      on_.b = advance(on.b, n * spec_.b.batch_stride, spec_.b.type);
      batch_ = n;
      for (first_word_ = 0; first_word_ < g_.words_; first_word_ += g_.depth_step_) {
        depth_ = std::min(g_.depth_step_, g_.words_ - first_word_);
        g_.streamed_ ? stream() : multiply_shared();
      }
    }
  }

 private:
  void stream() {
    const range rows{0, g_.row_panels_};
    // One panel is packed sooner than threads have met.
    const bool together = team_ > 1 && g_.row_panels_ > 1;
    word* a = together ? shared_ : a_;
    if (together && (batch_ > 0 || first_word_ > 0)) wait();
    pack_rows(together ? part(rows, thread_, team_) : rows, 0, a);
    if (together) wait();
    multiply(rows, part({0, g_.column_panels_}, thread_, team_), 0, a);
  }

  void multiply_shared() {
    for (int64_t column = 0; column < g_.column_panels_; column += g_.column_step_) {
      const range columns{column, std::min(column + g_.column_step_, g_.column_panels_)};
      wait();
      pack_columns(columns);
      wait();
      const grid shares = best_grid(team_, g_.row_panels_, columns.end - columns.begin);
      if (thread_ >= shares.rows * shares.columns) continue;
      const range rows = part({0, g_.row_panels_}, thread_ / shares.columns, shares.rows);
      const range mine = part(columns, thread_ % shares.columns, shares.columns);
      if (mine.begin == mine.end || rows.begin == rows.end) continue;
      const int64_t blocks = ceil_divide(rows.end - rows.begin, g_.block_panels_);
      for (int64_t i = 0; i < blocks; ++i) {
        const range block = part(rows, i, blocks);
        pack_rows(block, block.begin, a_);
        multiply(block, mine, columns.begin, a_);
      }
    }
  }

  void wait() const {
    if (team_ == 1) return;
#pragma omp barrier
  }

  int64_t first_element() const { return first_word_ * engine_.elements_per_word; }
  int64_t elements(int64_t words) const {
    return std::min(words * engine_.elements_per_word, spec_.a.columns - first_element());
  }

  /// Row panels, of which `first` begins at a.
  void pack_rows(range panels, int64_t first, word* a) const {
    const matrix_layout& m = spec_.a;
    for (int64_t i = panels.begin; i < panels.end; ++i) {
      const int64_t row = g_.row_begin(i);
      const void* data = advance(on_.a, row * m.row_stride + first_element() * m.column_stride, m.type);
      engine_.pack_a(
          {data, m.type, m.row_stride, m.column_stride, g_.row_begin(i + 1) - row, elements(depth_)},
          a + (i - first) * depth_ * engine_.a_pitch);
    }
  }

  /// Words [k, k + words) of column panel i.
  void pack_column_panel(int64_t i, int64_t k, int64_t words, word* to) const {
    const matrix_layout& m = spec_.b;
    const int64_t column = i * tile_columns, element = k * engine_.elements_per_word;
    const void* data =
        advance(on_.b, column * m.column_stride + (first_element() + element) * m.row_stride, m.type);
    const int64_t count = std::min<int64_t>(tile_columns, m.columns - column);
    engine_.pack_b({data, m.type, m.column_stride, m.row_stride, count, elements(k + words) - element}, to);
  }

  void pack_columns(range columns) const {
    const int64_t parts = ceil_divide(depth_, pack_depth), count = (columns.end - columns.begin) * parts;
    const range mine = part({0, count}, thread_, team_);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      const int64_t panel = i / parts, k = i % parts * pack_depth;
      pack_column_panel(columns.begin + panel, k, std::min(pack_depth, depth_ - k),
                        shared_ + (panel * depth_ + k) * tile_columns);
    }
  }

  /// Panels of a, of which the first begins at `a`, times panels of b, of which number `first_column` is the
  /// first in shared memory.
  void multiply(range rows, range columns, int64_t first_column, const word* a) {
    const int64_t step = even_step(depth_, engine_.depth_block, engine_.depth_unit);
    const int64_t tile = max_tile_rows * tile_columns;
    for (int64_t j = columns.begin; j < columns.end; ++j) {
      const int count = int(std::min<int64_t>(tile_columns, spec_.c.columns - j * tile_columns));
      for (int64_t k = 0; k < depth_; k += step) {
        const int64_t words = std::min(step, depth_ - k);
        const word* b = g_.streamed_ ? b_ : shared_ + ((j - first_column) * depth_ + k) * tile_columns;
        if (g_.streamed_) pack_column_panel(j, k, words, b_);
        const bool last = k + words == depth_;
        find_lines(last ? j + 1 : j, last ? 0 : k + words, columns.end, b + words * tile_columns, step);
        for (int64_t i = rows.begin; i < rows.end; ++i) {
          const int64_t row = g_.row_begin(i), height = g_.row_begin(i + 1) - row;
          // One tile in the L1 cache if nothing has to be kept for the next words of K.
          float* sums = sums_ + (step < depth_ ? (i - rows.begin) * tile : 0);
          if (last) prefetch_result(row, j * tile_columns, height);
          const range soon = part({0, line_count_}, i - rows.begin, rows.end - rows.begin);
          engine_.multiply({a + ((i - rows.begin) * depth_ + k) * engine_.a_pitch, b, words,
                            std::span(lines_).subspan(size_t(soon.begin), size_t(soon.end - soon.begin))},
                           sums, k > 0, int(height), count);
          if (last) finish(row, j * tile_columns, int(height), count, sums);
        }
      }
    }
  }

  /// Finds the cache lines of what follows: words [k, …) of column panel j, packed at `packed` or still in b.
  void find_lines(int64_t j, int64_t k, int64_t end, const word* packed, int64_t step) {
    line_count_ = 0;
    if (j == end || !engine_.requests_lines) return;
    const int64_t words = std::min(step, depth_ - k);
    if (!g_.streamed_) return add_lines(packed, words * tile_columns * int64_t(sizeof(word)));
    const matrix_layout& m = spec_.b;
    const int64_t column = j * tile_columns, element = k * engine_.elements_per_word;
    const int64_t width = std::min<int64_t>(tile_columns, m.columns - column);
    const int64_t depth = elements(k + words) - element;
    const auto* data = static_cast<const std::byte*>(
        advance(on_.b, column * m.column_stride + (first_element() + element) * m.row_stride, m.type));
    const bool along_depth = m.row_stride == 1;
    const int64_t runs = along_depth ? width : depth, run = along_depth ? depth : width;
    const int64_t stride = (along_depth ? m.column_stride : m.row_stride) * size_of(m.type);
    for (int64_t i = 0; i < runs; ++i) add_lines(data + i * stride, run * size_of(m.type));
  }

  void add_lines(const void* data, int64_t bytes) {
    constexpr int64_t line = 64;
    const auto* first = static_cast<const std::byte*>(data);
    for (int64_t at = 0; at < bytes && line_count_ < max_lines; at += line)
      lines_[size_t(line_count_++)] = first + at;
  }

  /// The tile of c arrives while its sums are computed: storing to absent lines would take as long.
  void prefetch_result(int64_t row, int64_t column, int64_t rows) const {
    const int64_t at = batch_ * spec_.c.batch_stride + row * spec_.c.row_stride + column;
    const auto* line = static_cast<const std::byte*>(advance(on_.c, at, spec_.c.type));
    const int64_t stride = spec_.c.row_stride * size_of(spec_.c.type);
    const int64_t bytes = std::min<int64_t>(tile_columns, spec_.c.columns - column) * size_of(spec_.c.type);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(line + i * stride + b, 1);
  }

  void finish(int64_t row, int64_t column, int rows, int columns, const float* sums) const {
    spec_.c.type == dtype::f32 ? finish<float>(row, column, rows, columns, sums)
                               : finish<bf16>(row, column, rows, columns, sums);
  }

  template <class T>
  void finish(int64_t row, int64_t column, int rows, int columns, const float* sums) const {
    const bool last = first_word_ + depth_ == g_.words_;
    const int64_t at = batch_ * spec_.c.batch_stride + row * spec_.c.row_stride + column;
    const matrix_layout& addend = spec_.addend;
    result_tile<T> tile{.c = offset(static_cast<T*>(on_.c), at),
                        .pre = nullptr,
                        .addend = nullptr,
                        .bias = nullptr,
                        .c_stride = spec_.c.row_stride,
                        .addend_stride = addend.row_stride,
                        .rows = rows,
                        .columns = columns};
    if (last) {
      if (spec_.pre) tile.pre = offset(static_cast<T*>(on_.pre), at);
      if (addend.type != dtype::none)
        tile.addend = offset(static_cast<const T*>(on_.addend),
                             batch_ * addend.batch_stride + row * addend.row_stride + column);
      if (spec_.bias) tile.bias = on_.bias + column;
    }
    store_tile(tile, sums, tile_columns, last ? spec_.activation : ops::activation::none,
               spec_.accumulate || first_word_ > 0);
  }

  const blocked_gemm& g_;
  const gemm_spec& spec_;
  const engine& engine_;
  int thread_, team_;
  word *shared_, *a_, *b_;
  float* sums_;
  gemm_operands on_{};
  int64_t batch_ = 0, first_word_ = 0, depth_ = 0;
  int64_t line_count_ = 0;
  std::array<const void*, max_lines> lines_;
};

void blocked_gemm::run(const gemm_operands& operands) {
  // Allocated here, because an exception inside the region would end the process.
  auto* memory =
      reinterpret_cast<word*>(workspace(size_t(shared_words_ + threads_ * thread_words_) * sizeof(word)));
#pragma omp parallel num_threads(threads_) if (threads_ > 1)
  {
    engine_.enter();
    gemm_worker(*this, memory, omp_get_thread_num(), omp_get_num_threads()).run(operands);
    engine_.leave();
  }
}

}  // namespace eva::cpu::EVA_CLIP_ISA
