#include "cpu/dispatch/nearest_rows.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A half as stored in memory.
struct f16 {
  uint16_t bits;
};

using f16_vec [[gnu::vector_size(lanes * 2)]] = uint16_t;
#if defined(__AVX512F__)
inline vec widen_half(f16_vec x) { return _mm512_maskz_cvtph_ps(all_lanes, __m256i(x)); }
#elif defined(__F16C__)
inline vec widen_half(f16_vec x) { return _mm256_cvtph_ps(__m128i(x)); }
#else
inline vec widen_half(f16_vec x) {
  vec wide{};
  for (int i = 0; i < lanes; ++i) wide[i] = std::bit_cast<float>(widened(f16_pattern{x[i]}).value);
  return wide;
}
#endif

inline vec load(const f16* p, whole = {}) {
  f16_vec x;
  std::memcpy(&x, p, sizeof x);
  return widen_half(x);
}
inline vec load(const f16* p, int count) {
  f16_vec x{};
  for (int i = 0; i < count; ++i) x[i] = p[i].bits;
  return widen_half(x);
}

namespace {

/// Bytes of rows that a thread takes at a time.
constexpr int64_t part_bytes = int64_t(1) << 20;
/// Bytes of rows that stay in the cache while all queries are compared with them.
constexpr int64_t cached_bytes = int64_t(1) << 16;

bool better(const neighbor& a, const neighbor& b) {
  return a.similarity > b.similarity || (a.similarity == b.similarity && a.row < b.row);
}

/// The best `limit` rows of one query so far.
class best_rows {
 public:
  explicit best_rows(int64_t limit) : limit_(size_t(limit)) {}

  void offer(float similarity, int64_t row, int64_t query, const uint8_t* allowed) {
    // Written so that NaN passes, to be refused below.
    if (similarity < least_) return;
    if (allowed && !(allowed[row >> 3] >> (row & 7) & 1)) return;
    if (!std::isfinite(similarity)) {
      const std::string found = std::isnan(similarity) ? "NaN" : "infinite";
      throw error("ERR_EVACLIP_NOT_FINITE",
                  "the product of vector " + std::to_string(row) + " with query " + std::to_string(query) +
                      " is " + found,
                  {{"row", std::to_string(row)}, {"query", std::to_string(query)}});
    }
    const neighbor found{similarity, int32_t(row)};
    if (heap_.size() == limit_) {
      if (!better(found, heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end(), better);
      heap_.back() = found;
    } else {
      heap_.push_back(found);
    }
    std::push_heap(heap_.begin(), heap_.end(), better);
    if (heap_.size() == limit_) least_ = heap_.front().similarity;
  }

  const std::vector<neighbor>& rows() const { return heap_; }

 private:
  size_t limit_;
  float least_ = -std::numeric_limits<float>::infinity();
  std::vector<neighbor> heap_;  // the worst first
};

/// out[a][b] = rows[a] · queries[b], in one accumulator per pair, so that the bits do not depend on R and Q.
template <int R, int Q, class T>
void products(const T* rows, const float* queries, int64_t columns, float (&out)[R][Q]) {
  vec sums[R][Q]{};
  // Unrolled before the compiler decides what stays in registers.
  const auto add = [&](int64_t i, auto width) __attribute__((always_inline)) {
    vec own[Q];
#pragma GCC unroll 8
    for (int b = 0; b < Q; ++b) own[b] = load(queries + b * columns + i, width);
#pragma GCC unroll 8
    for (int a = 0; a < R; ++a) {
      const vec row = load(rows + a * columns + i, width);
#pragma GCC unroll 8
      for (int b = 0; b < Q; ++b) sums[a][b] += row * own[b];
    }
  };
  sweep(columns, add);
#pragma GCC unroll 8
  for (int a = 0; a < R; ++a)
#pragma GCC unroll 8
    for (int b = 0; b < Q; ++b) out[a][b] = reduce_add(sums[a][b]);
}

/// The search of one thread.
template <class T> class searcher {
 public:
  explicit searcher(const nearest_args& args)
      : args_(args), best_(size_t(args.query_count), best_rows(args.count)) {}

  void search(int64_t begin, int64_t end) {
    // Accumulators fill the registers: 4 × 4 of 32, or 2 × 4 of 16.
    constexpr int tile_rows = lanes == 16 ? 4 : 2, tile_queries = 4;
    const int64_t step = std::max<int64_t>(8, cached_bytes / (args_.columns * int64_t(sizeof(T))));
    for (int64_t first = begin; first < end; first += step) {
      const int64_t last = std::min(first + step, end);
      int64_t query = 0;
      for (; query + tile_queries <= args_.query_count; query += tile_queries)
        compare<tile_rows, tile_queries>(first, last, query);
      for (; query < args_.query_count; ++query) compare<8, 1>(first, last, query);
    }
  }

  const std::vector<neighbor>& best(int64_t query) const { return best_[size_t(query)].rows(); }

 private:
  template <int R, int Q> void compare(int64_t first, int64_t last, int64_t query) {
    for (; first + R <= last; first += R) tile<R, Q>(first, query);
    for (; first < last; ++first) tile<1, Q>(first, query);
  }

  template <int R, int Q> void tile(int64_t row, int64_t query) {
    float similarities[R][Q];
    products<R, Q>(reinterpret_cast<const T*>(args_.rows) + row * args_.columns,
                   args_.queries + query * args_.columns, args_.columns, similarities);
    for (int a = 0; a < R; ++a)
      for (int b = 0; b < Q; ++b)
        best_[size_t(query + b)].offer(similarities[a][b], row + a, query + b, args_.allowed);
  }

  const nearest_args& args_;
  std::vector<best_rows> best_;
};

template <class T> std::vector<std::vector<neighbor>> nearest(const nearest_args& args, const context& c) {
  std::vector<searcher<T>> threads(size_t(c.threads), searcher<T>(args));
  const int64_t part_rows = std::max<int64_t>(1, part_bytes / (args.columns * int64_t(sizeof(T))));
  parallel_items(c, false, (args.row_count + part_rows - 1) / part_rows, [&](int64_t part, int thread) {
    if (args.before_part) args.before_part();
    threads[size_t(thread)].search(part * part_rows, std::min((part + 1) * part_rows, args.row_count));
  });
  std::vector<std::vector<neighbor>> found(size_t(args.query_count), std::vector<neighbor>());
  for (int64_t query = 0; query < args.query_count; ++query) {
    auto& rows = found[size_t(query)];
    for (const auto& thread : threads)
      rows.insert(rows.end(), thread.best(query).begin(), thread.best(query).end());
    std::sort(rows.begin(), rows.end(), better);
    rows.resize(std::min(rows.size(), size_t(args.count)));
  }
  return found;
}

}  // namespace

std::vector<std::vector<neighbor>> nearest_rows(const nearest_args& args, const context& c) {
  switch (args.type) {
    case stored_dtype::f32:
      return nearest<float>(args, c);
    case stored_dtype::f16:
      return nearest<f16>(args, c);
    case stored_dtype::bf16:
      return nearest<bf16>(args, c);
    case stored_dtype::f64:
      break;
  }
  throw argument_error("vectors that are searched must be F32, F16 or BF16");
}

}  // namespace eva::cpu::EVA_CLIP_ISA
