#include <array>
#include <cmath>

#include "cpu/attention/attention.h"
#include "cpu/attention/batch.h"
#include "cpu/attention/head_kernel.h"
#include "cpu/attention/pairs.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

using op = ops::attention;
using row_values = std::array<float, pair_block>;

struct buffers {
  buffers(scratch_allocator& from, int64_t length, int64_t head_dim)
      : keys_transposed(from.take(score_operands::key_words(head_dim), whole_units(length, column_unit))),
        values(from.take(words_of(length), whole_units(head_dim, column_unit))),
        queries(from.take(pair_block, score_operands::query_words(head_dim))),
        scores(from.take(pair_block, whole_units(length, column_unit))),
        probabilities(from.take(pair_block, words_of(length))),
        result(from.take(pair_block, whole_units(head_dim, column_unit))),
        staging(from.take(lanes, score_operands::key_words(head_dim))),
        exact(from.take(1, head_dim)) {}

  matrix keys_transposed;  // [D, N] words
  matrix values;           // [N / 2, D] words
  matrix queries;          // [pair_block, 3 D / 2] words
  matrix scores;           // [pair_block, N]
  matrix probabilities;    // [pair_block, N / 2] words
  matrix result;           // [pair_block, D]
  matrix staging;          // [lanes, D] words
  matrix exact;            // [1, D]
};

class forward : head_kernel<op, buffers> {
 public:
  using head_kernel::head_kernel;

  void run() {
    for_each_head(c_, batch_, a_.heads, [this](const sequences::span& s, int64_t head, int thread) {
      const pair_gemm_scope tiles;
      attend(s, head, buffers_[thread]);
    });
    clear_rows_from(a_.out, batch_.rows());
    clear_rows_from(a_.log_sum, batch_.rows());
  }

 private:
  void attend(const sequences::span& s, int64_t head, const buffers& b) {
    const score_operands operands(a_, s.index, head_dim_, b.exact);
    const qkv_rows<const bf16> in(a_.qkv, s.begin, head, a_.heads, head_dim_);
    operands.write_keys(b.keys_transposed, b.staging, in.k, s.length);
    pack_pairs(b.values, s.length, head_dim_, [&](int64_t i) { return in.v.row(i); });
    const float scale = log2_e / std::sqrt(float(head_dim_));
    for_each_pair_block(s.length, [&](int64_t begin, int64_t end) {
      const int64_t rows = end - begin, keys = a_.causal ? end : s.length;
      for (int64_t i = 0; i < rows; ++i)
        operands.write_query(in.q.row(begin + i), begin + i, half_row(b.queries, i));
      operands.multiply(b.scores, b.queries, b.keys_transposed, rows, keys);
      row_values row_max, sum;
      const auto visible = [&](int64_t i) { return a_.causal ? begin + i + 1 : keys; };
      for (int64_t i = 0; i < rows; ++i)
        row_max[size_t(i)] = scale * row_maximum(b.scores.row(i), visible(i));
      for (int64_t i = 0; i < rows; ++i)
        sum[size_t(i)] = exponentiate(b.scores.row(i), half_row(b.probabilities, i), visible(i),
                                      2 * words_of(keys), scale, row_max[size_t(i)]);
      pair_gemm(b.result, b.probabilities, b.values, rows, words_of(keys), head_dim_);
      write(s.begin + begin, head, b.result, rows, row_max, sum);
    });
  }

  /// Writes 2^(scale s - row_max) of a row of scores s, zero for masked keys, and returns its sum.
  static float exponentiate(const float* scores, bf16* to, int64_t visible, int64_t columns, float scale,
                            float row_max) {
    vec sum{};
    const auto powers = [&](int64_t i, auto width) {
      const vec p = first_lanes(exp2(load(scores + i) * scale - row_max), width, vec{});
      store(to + i, p);
      sum += p;
    };
    sweep(visible, powers);
    const int64_t written = whole_vectors(visible);
    std::memset(static_cast<void*>(to + written), 0, size_t(columns - written) * sizeof(bf16));
    return reduce_add(sum);
  }

  void write(int64_t first, int64_t head, matrix result, int64_t rows, const row_values& row_max,
             const row_values& sum) {
    if (a_.out.data) {
      const head_rows<bf16> out(a_.out, first, head * head_dim_, head_dim_);
      for (int64_t i = 0; i < rows; ++i)
        scale_row(out.row(i), result.row(i), head_dim_, 1.0f / sum[size_t(i)]);
    }
    if (a_.log_sum.data == nullptr) return;
    float* log_sum = a_.log_sum.as<float>() + first * a_.heads + head;
    for (int64_t begin = 0; begin < rows; begin += lanes) {
      const vec natural = load(&row_max[size_t(begin)]) * (1.0f / log2_e) + log(load(&sum[size_t(begin)]));
      for (int64_t i = begin; i < std::min(begin + lanes, rows); ++i)
        log_sum[i * a_.heads] = natural[i - begin];
    }
  }
};

}  // namespace

void attend_pairs(const op::args& a, context& c) { forward(a, c).run(); }

}  // namespace eva::cpu::EVA_CLIP_ISA
