#include <array>
#include <cmath>

#include "cpu/attention/attention.h"
#include "cpu/attention/batch.h"
#include "cpu/attention/head_kernel.h"
#include "cpu/attention/pair_gemm.h"
#include "cpu/attention/rows.h"
#include "cpu/attention/softmax.h"
#include "cpu/kernel.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

using op = ops::attention;
using row_values = std::array<float, query_block>;

struct buffers {
  buffers(scratch_allocator& from, int64_t length, int64_t head_dim)
      : keys_transposed(from.take(whole_vectors(head_dim), whole_vectors(length))),
        values(from.take(length, head_dim)),
        queries(from.take(query_block, head_dim)),
        scores(from.take(query_block, whole_vectors(length))),
        result(from.take(query_block, head_dim)),
        staging(from.take(lanes, head_dim)) {}

  matrix keys_transposed;  // [D, N]
  matrix values;           // [N, D]
  matrix queries;          // [query_block, D]
  matrix scores;           // [query_block, N]
  matrix result;           // [query_block, D]
  matrix staging;          // [lanes, D]
};

template <class T> class forward : head_kernel<op, buffers> {
 public:
  using head_kernel::head_kernel;

  void run() {
    for_each_head(c_, batch_, a_.heads, [this](const sequences::span& s, int64_t head, int thread) {
      attend(s, head, buffers_[thread]);
    });
    clear_rows_from(a_.out, batch_.rows());
    clear_rows_from(a_.log_sum, batch_.rows());
  }

 private:
  void attend(const sequences::span& s, int64_t head, const buffers& b) {
    const rope_angles angles(a_, s.index);
    const qkv_rows<const T> in(a_.qkv, s.begin, head, a_.heads, head_dim_);
    pack_transposed(b.keys_transposed, b.staging, in.k, s.length, head_dim_, angles);
    for (int64_t i = 0; i < s.length; ++i) scale_row(b.values.row(i), in.v.row(i), head_dim_, 1.0f);
    const float scale = log2_e / std::sqrt(float(head_dim_));
    for_each_query_block(s.length, [&](int64_t begin, int64_t end) {
      const int64_t rows = end - begin, keys = a_.causal ? end : s.length;
      const auto visible = [&](int64_t i) { return a_.causal ? begin + i + 1 : keys; };
      for (int64_t i = 0; i < rows; ++i)
        copy_token(b.queries.row(i), in.q.row(begin + i), head_dim_, scale, angles, begin + i, 1.0f);
      small_gemm(b.scores, b.queries, b.keys_transposed, rows, head_dim_, keys);
      // Two loops, so that the latencies of different rows overlap.
      row_values row_max, sum;
      for (int64_t i = 0; i < rows; ++i) row_max[i] = row_maximum(b.scores.row(i), visible(i));
      for (int64_t i = 0; i < rows; ++i) sum[i] = exponentiate(b.scores.row(i), visible(i), keys, row_max[i]);
      small_gemm(b.result, b.scores, b.values, rows, keys, head_dim_);
      write_out(s.begin + begin, head, b.result, rows, sum);
      write_log_sum(s.begin + begin, head, rows, row_max, sum);
    });
  }

  void write_out(int64_t first, int64_t head, matrix result, int64_t rows, const row_values& sum) {
    if (a_.out.data == nullptr) return;
    const head_rows<T> out(a_.out, first, head * head_dim_, head_dim_);
    for (int64_t i = 0; i < rows; ++i) scale_row(out.row(i), result.row(i), head_dim_, 1.0f / sum[i]);
  }

  void write_log_sum(int64_t first, int64_t head, int64_t rows, const row_values& row_max,
                     const row_values& sum) {
    if (a_.log_sum.data == nullptr) return;
    row_values result;
    sweep(rows, [&](int64_t i, auto width) {
      const vec natural = load(&row_max[i], width) * (1.0f / log2_e) + log(load(&sum[i], width));
      store(&result[i], natural, width);
    });
    float* log_sum = a_.log_sum.as<float>() + first * a_.heads + head;
    for (int64_t i = 0; i < rows; ++i) log_sum[i * a_.heads] = result[i];
  }
};

}  // namespace

template <> void run<op>(const op::args& a, context& c) {
  if (a.qkv.type == dtype::bf16 && pair_gemm_pays())
    attend_pairs(a, c);
  else if (a.qkv.type == dtype::bf16)
    forward<bf16>(a, c).run();
  else
    forward<float>(a, c).run();
}

}  // namespace eva::cpu::EVA_CLIP_ISA
