#include <cmath>

#include "cpu/attention/attention.h"
#include "cpu/attention/batch.h"
#include "cpu/attention/head_kernel.h"
#include "cpu/attention/pairs.h"
#include "cpu/column_sums.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

using op = ops::attention_backward;

struct buffers {
  buffers(scratch_allocator& from, int64_t length, int64_t head_dim)
      : keys(from.take(words_of(length), whole_units(head_dim, column_unit))),
        keys_transposed(from.take(score_operands::key_words(head_dim), whole_units(length, column_unit))),
        values_transposed(from.take(words_of(head_dim), whole_units(length, column_unit))),
        key_gradient(from.take(2 * words_of(head_dim), whole_units(length, column_unit))),
        value_gradient(from.take(2 * words_of(head_dim), whole_units(length, column_unit))),
        queries(from.take(pair_block, score_operands::query_words(head_dim))),
        out_gradient(from.take(pair_block, words_of(head_dim))),
        queries_transposed(from.take(2 * words_of(head_dim), depth_unit)),
        out_gradient_transposed(from.take(2 * words_of(head_dim), depth_unit)),
        scores(from.take(pair_block, whole_units(length, column_unit))),
        score_gradient(from.take(pair_block, whole_units(length, column_unit))),
        probability_pairs(from.take(depth_unit, whole_units(length, column_unit))),
        score_gradient_pairs(from.take(depth_unit, whole_units(length, column_unit))),
        score_gradient_rows(from.take(pair_block, words_of(length))),
        query_gradient(from.take(pair_block, whole_units(head_dim, column_unit))),
        staging(from.take(lanes, score_operands::key_words(head_dim))),
        exact(from.take(1, head_dim)) {}

  matrix keys;                                         // [N / 2, D] words
  matrix keys_transposed, values_transposed;           // [D, N] and [D / 2, N] words
  matrix key_gradient, value_gradient;                 // [D, N]
  matrix queries, out_gradient;                        // [pair_block, 3 D / 2] and [pair_block, D / 2] words
  matrix queries_transposed, out_gradient_transposed;  // [D, pair_block / 2] words
  matrix scores, score_gradient;                       // [pair_block, N]
  matrix probability_pairs, score_gradient_pairs;      // [pair_block / 2, N] words
  matrix score_gradient_rows;                          // [pair_block, N / 2] words
  matrix query_gradient;                               // [pair_block, D]
  matrix staging;                                      // [lanes, D]
  matrix exact;                                        // [1, D]
};

class backward : head_kernel<op, buffers> {
 public:
  using head_kernel::head_kernel;

  void run() {
    for_each_head(c_, batch_, a_.heads, [this](const sequences::span& s, int64_t head, int thread) {
      const pair_gemm_scope tiles;
      differentiate(s, head, buffers_[thread]);
    });
    clear_rows_from(a_.dqkv, batch_.rows());
    if (a_.dqkv_sums.data) sum_columns(a_.dqkv, a_.dqkv_sums, c_);
  }

 private:
  void differentiate(const sequences::span& s, int64_t head, const buffers& b) {
    const score_operands operands(a_, s.index, head_dim_, b.exact);
    const qkv_rows<const bf16> in(a_.qkv, s.begin, head, a_.heads, head_dim_);
    const qkv_rows<bf16> gradient(a_.dqkv, s.begin, head, a_.heads, head_dim_);
    const float scale = 1.0f / std::sqrt(float(head_dim_));
    pack_keys_and_values(s, in, b, operands);
    for_each_pair_block(s.length, [&](int64_t begin, int64_t end) {
      const int64_t rows = end - begin, keys = a_.causal ? end : s.length;
      for (int64_t i = 0; i < rows; ++i)
        operands.write_query(in.q.row(begin + i), begin + i, half_row(b.queries, i));
      transpose_pairs(b.queries_transposed, b.queries, b.staging, rows);
      operands.multiply(b.scores, b.queries, b.keys_transposed, rows, keys);
      gradient_of_scores(s, head, b, begin, rows, keys);
      pair_gemm(b.value_gradient, b.out_gradient_transposed, b.probability_pairs, head_dim_, depth_unit, keys,
                true);
      pair_gemm(b.key_gradient, b.queries_transposed, b.score_gradient_pairs, head_dim_, depth_unit, keys,
                true);
      pair_gemm(b.query_gradient, b.score_gradient_rows, b.keys, rows, words_of(keys), head_dim_);
      for (int64_t i = 0; i < rows; ++i)
        copy_token(gradient.q.row(begin + i), b.query_gradient.row(i), head_dim_, scale, operands.angles(),
                   begin + i, -1.0f);
    });
    write_transposed(b, b.key_gradient, s.length, [&](int64_t i, const float* row) {
      copy_token(gradient.k.row(i), row, head_dim_, scale, operands.angles(), i, -1.0f);
    });
    write_transposed(b, b.value_gradient, s.length, [&](int64_t i, const float* row) {
      scale_row(gradient.v.row(i), row, head_dim_, 1.0f);
    });
  }

  void pack_keys_and_values(const sequences::span& s, const qkv_rows<const bf16>& in, const buffers& b,
                            const score_operands& operands) {
    // Rotated keys pass through pairs of rows of the staging buffer.
    const auto rotated = [&](int64_t i) {
      bf16* const row = half_row(b.staging, i % 2);
      copy_token(row, in.k.row(i), head_dim_, 1.0f, operands.angles(), i, 1.0f);
      return static_cast<const bf16*>(row);
    };
    pack_pairs(b.keys, s.length, head_dim_, rotated);
    operands.write_keys(b.keys_transposed, b.staging, in.k, s.length);
    pack_transposed_pairs(
        b.values_transposed, b.staging, s.length, words_of(head_dim_), [&](int64_t i, bf16* row) {
          std::memcpy(static_cast<void*>(row), in.v.row(i), size_t(head_dim_) * sizeof(bf16));
        });
    for (int64_t i = 0; i < whole_units(head_dim_, row_unit); ++i) {
      std::fill_n(b.key_gradient.row(i), whole_units(s.length, column_unit), 0.0f);
      std::fill_n(b.value_gradient.row(i), whole_units(s.length, column_unit), 0.0f);
    }
  }

  /// to [D, pair_block / 2] = the words of pairs of rows, transposed: a from its columns.
  void transpose_pairs(matrix to, matrix from, matrix staging, int64_t rows) {
    pack_pairs(staging, rows, head_dim_,
               [&](int64_t i) { return static_cast<const bf16*>(half_row(from, i)); });
    transpose(to, staging, depth_unit, head_dim_);
  }

  /// Computes p and ds for `rows` queries from `begin` on, and packs dout.
  void gradient_of_scores(const sequences::span& s, int64_t head, const buffers& b, int64_t begin,
                          int64_t rows, int64_t keys) {
    const head_rows<const bf16> dout(a_.dout, s.begin + begin, head * head_dim_, head_dim_);
    const head_rows<const bf16> out(a_.out, s.begin + begin, head * head_dim_, head_dim_);
    softmax_row each[pair_block];
    for (int64_t i = 0; i < pair_block; ++i) {
      if (i >= rows) {
        each[i] = {};
        continue;
      }
      const float log_sum = a_.log_sum.as<const float>()[(s.begin + begin + i) * a_.heads + head];
      each[i] = {a_.causal ? begin + i + 1 : keys, log2_e * log_sum,
                 pack_out_gradient(half_row(b.out_gradient, i), dout.row(i), out.row(i))};
    }
    transpose_pairs(b.out_gradient_transposed, b.out_gradient, b.staging, rows);
    pair_gemm(b.score_gradient, b.out_gradient, b.values_transposed, rows, words_of(head_dim_), keys);
    for (int64_t i = 0; i < pair_block; i += 2)
      softmax_gradients(b, i, each[i], each[i + 1], whole_units(keys, column_unit));
  }

  /// Copies a row of dout and returns delta = dout · out, which is Σ p dp over the row's keys.
  float pack_out_gradient(bf16* to, const bf16* dout, const bf16* out) {
    vec sum{};
    sweep(head_dim_, [&](int64_t i, auto width) {
      const vec gradient = load(dout + i, width);
      store(to + i, gradient, width);
      sum += gradient * load(out + i, width);
    });
    clear_half_row(to, head_dim_, words_of(head_dim_));
    return reduce_add(sum);
  }

  struct softmax_row {
    int64_t visible = 0;
    float log_sum = 0, delta = 0;
  };

  /// p = 2^(scale s - log_sum) and ds = p (dp - delta) of rows i and i + 1, zero for masked keys.
  void softmax_gradients(const buffers& b, int64_t i, const softmax_row& low, const softmax_row& high,
                         int64_t columns) const {
    const float scale = log2_e / std::sqrt(float(head_dim_));
    struct values {
      vec p, ds;
    };
    const auto gradient = [&](int64_t row, const softmax_row& of, int64_t j) -> values {
      if (j >= of.visible) return {vec{}, vec{}};
      const ivec seen = lane_indices() < broadcast(int32_t(std::min<int64_t>(of.visible - j, lanes)));
      const vec p = select(seen, exp2(load(b.scores.row(row) + j) * scale - of.log_sum), vec{});
      return {p, select(seen, p * (load(b.score_gradient.row(row) + j) - of.delta), vec{})};
    };
    for (int64_t j = 0; j < columns; j += lanes) {
      const values first = gradient(i, low, j), second = gradient(i + 1, high, j);
      store(b.probability_pairs.row(i / 2) + j, pair_words(first.p, second.p));
      store(b.score_gradient_pairs.row(i / 2) + j, pair_words(first.ds, second.ds));
      store(half_row(b.score_gradient_rows, i) + j, first.ds);
      store(half_row(b.score_gradient_rows, i + 1) + j, second.ds);
    }
  }

  /// Calls write(i, row) for each of the `length` columns of `from` [D, N].
  template <class Write>
  void write_transposed(const buffers& b, matrix from, int64_t length, const Write& write) {
    for (int64_t begin = 0; begin < length; begin += lanes) {
      transpose(b.staging, from.from_column(begin), head_dim_, lanes);
      for (int64_t i = begin; i < std::min<int64_t>(begin + lanes, length); ++i)
        write(i, b.staging.row(i - begin));
    }
  }
};

}  // namespace

void differentiate_pairs(const op::args& a, context& c) { backward(a, c).run(); }

}  // namespace eva::cpu::EVA_CLIP_ISA
