#include <cmath>

#include "cpu/attention/attention.h"
#include "cpu/attention/batch.h"
#include "cpu/attention/head_kernel.h"
#include "cpu/attention/pair_gemm.h"
#include "cpu/attention/rows.h"
#include "cpu/attention/softmax.h"
#include "cpu/column_sums.h"
#include "cpu/kernel.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

using op = ops::attention_backward;

struct buffers {
  buffers(scratch_allocator& from, int64_t length, int64_t head_dim)
      : keys(from.take(whole_vectors(length), head_dim)),
        keys_transposed(from.take(whole_vectors(head_dim), whole_vectors(length))),
        values_transposed(from.take(whole_vectors(head_dim), whole_vectors(length))),
        key_gradient(from.take(length, head_dim)),
        value_gradient(from.take(length, head_dim)),
        queries(from.take(query_block, head_dim)),
        out_gradient(from.take(query_block, head_dim)),
        query_gradient(from.take(query_block, head_dim)),
        scores(from.take(query_block, whole_vectors(length))),
        score_gradient(from.take(query_block, whole_vectors(length))),
        staging(from.take(lanes, head_dim)) {}

  matrix keys;                                // [N, D]
  matrix keys_transposed, values_transposed;  // [D, N]
  matrix key_gradient, value_gradient;        // [N, D]
  matrix queries;                             // [query_block, D]
  matrix out_gradient, query_gradient;        // [query_block, D]
  matrix scores, score_gradient;              // [query_block, N]
  matrix staging;                             // [lanes, D]
};

template <class T> class backward : head_kernel<op, buffers> {
 public:
  using head_kernel::head_kernel;

  void run() {
    for_each_head(c_, batch_, a_.heads, [this](const sequences::span& s, int64_t head, int thread) {
      differentiate(s, head, buffers_[thread]);
    });
    clear_rows_from(a_.dqkv, batch_.rows());
    if (a_.dqkv_sums.data) sum_columns(a_.dqkv, a_.dqkv_sums, c_);
  }

 private:
  void differentiate(const sequences::span& s, int64_t head, const buffers& b) {
    const rope_angles angles(a_, s.index);
    const qkv_rows<const T> in(a_.qkv, s.begin, head, a_.heads, head_dim_);
    const qkv_rows<T> gradient(a_.dqkv, s.begin, head, a_.heads, head_dim_);
    const float scale = 1.0f / std::sqrt(float(head_dim_));
    pack_keys_and_values(s, in, b, angles);
    for_each_query_block(s.length, [&](int64_t begin, int64_t end) {
      const int64_t rows = end - begin, keys = a_.causal ? end : s.length;
      for (int64_t i = 0; i < rows; ++i)
        copy_token(b.queries.row(i), in.q.row(begin + i), head_dim_, scale * log2_e, angles, begin + i, 1.0f);
      gradient_of_scores(s, head, b, begin, rows, keys);
      small_gemm_tn_add(b.value_gradient, b.scores, b.out_gradient, keys, rows, head_dim_);
      small_gemm_tn_add(b.key_gradient, b.score_gradient, b.queries, keys, rows, head_dim_);
      small_gemm(b.query_gradient, b.score_gradient, b.keys, rows, keys, head_dim_);
      for (int64_t i = 0; i < rows; ++i)
        copy_token(gradient.q.row(begin + i), b.query_gradient.row(i), head_dim_, scale, angles, begin + i,
                   -1.0f);
    });
    for (int64_t i = 0; i < s.length; ++i) {
      // The packed queries contain the scale and log2 e.
      copy_token(gradient.k.row(i), b.key_gradient.row(i), head_dim_, 1.0f / log2_e, angles, i, -1.0f);
      scale_row(gradient.v.row(i), b.value_gradient.row(i), head_dim_, 1.0f);
    }
  }

  void pack_keys_and_values(const sequences::span& s, const qkv_rows<const T>& in, const buffers& b,
                            const rope_angles& angles) {
    for (int64_t i = 0; i < s.length; ++i) {
      copy_token(b.keys.row(i), in.k.row(i), head_dim_, 1.0f, angles, i, 1.0f);
      std::fill_n(b.key_gradient.row(i), whole_vectors(head_dim_), 0.0f);
      std::fill_n(b.value_gradient.row(i), whole_vectors(head_dim_), 0.0f);
    }
    transpose(b.keys_transposed, b.keys, s.length, head_dim_);
    pack_transposed(b.values_transposed, b.staging, in.v, s.length, head_dim_, rope_angles());
  }

  /// Computes p in b.scores and ds in b.score_gradient for `rows` queries from `begin` on, and dout in
  /// b.out_gradient.
  void gradient_of_scores(const sequences::span& s, int64_t head, const buffers& b, int64_t begin,
                          int64_t rows, int64_t keys) {
    const head_rows<const T> dout(a_.dout, s.begin + begin, head * head_dim_, head_dim_);
    const head_rows<const T> out(a_.out, s.begin + begin, head * head_dim_, head_dim_);
    float delta[query_block];
    for (int64_t i = 0; i < rows; ++i)
      delta[i] = pack_out_gradient(b.out_gradient.row(i), dout.row(i), out.row(i));
    small_gemm(b.scores, b.queries, b.keys_transposed, rows, head_dim_, keys);
    small_gemm(b.score_gradient, b.out_gradient, b.values_transposed, rows, head_dim_, keys);
    for (int64_t i = 0; i < rows; ++i) {
      const float log_sum = log2_e * a_.log_sum.as<const float>()[(s.begin + begin + i) * a_.heads + head];
      softmax_gradient(b.scores.row(i), b.score_gradient.row(i), a_.causal ? begin + i + 1 : keys, keys,
                       log_sum, delta[i]);
    }
  }

  /// Copies a row of dout and returns delta = dout · out, which is Σ p dp over the row's keys.
  float pack_out_gradient(float* to, const T* dout, const T* out) {
    vec sum{};
    sweep(head_dim_, [&](int64_t i, auto width) {
      const vec gradient = load(dout + i, width);
      store(to + i, gradient, width);
      sum += gradient * load(out + i, width);
    });
    return reduce_add(sum);
  }
};

}  // namespace

template <> void run<op>(const op::args& a, context& c) {
  if (a.dqkv.data == nullptr) return;
  if (a.qkv.type == dtype::bf16 && pair_gemm_pays())
    differentiate_pairs(a, c);
  else if (a.qkv.type == dtype::bf16)
    backward<bf16>(a, c).run();
  else
    backward<float>(a, c).run();
}

}  // namespace eva::cpu::EVA_CLIP_ISA
