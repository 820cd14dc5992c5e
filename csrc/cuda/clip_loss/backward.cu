#include <span>

#include "cuda/activation.cuh"
#include "cuda/base_2.h"
#include "cuda/clip_loss/clip_loss.h"
#include "cuda/clip_loss/score_gradients.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {
namespace {

using namespace device;

struct log_odds {
  const float *row, *column;  // [B]
};

// gradient = sums + s G_ii other for some rows, with G_ii = (P_ii + Q_ii - 2) dloss / (2 B); gradient may be
// sums.
// Expected bound: HBM bandwidth; reads sums and other, writes gradient.
template <int Width, class T>
__global__ void clip_loss_diagonal_kernel(const float* sums, const T* other, log_odds odds,
                                          const float* logit_scale, const float* dloss, T* gradient,
                                          int64_t first_row, int64_t rows, int64_t batch, int64_t columns) {
  const float factor = expf(*logit_scale) * *dloss / (2.0f * float(batch));
  for (int64_t row = block_index(); row < rows; row += grid_blocks()) {
    const int64_t i = first_row + row;
    const float diagonal = -factor * (sigmoid(odds.row[i]) + sigmoid(odds.column[i]));
    for_groups_of_row<Width>(columns, [&](int64_t k) {
      float values[Width], partners[Width];
      load_elements(sums + row * columns + k, values);
      load_elements(other + i * columns + k, partners);
      for (int j = 0; j < Width; ++j) values[j] += diagonal * partners[j];
      store_elements(gradient + i * columns + k, values);
    });
  }
}

constexpr int sum_threads = 1024, sum_scratch_bytes = sum_threads / warp_size * int(sizeof(double));

// With S_ij - S_ii = log P_ij + the cross-entropy of row i, Σ G ∘ S is proportional to Σ_{i≠j} (P log P + Q
// log Q) plus, for each row and column, its cross-entropy times its probability of a wrong answer, σ(log
// odds).
__global__ void __launch_bounds__(sum_threads)
    clip_loss_scale_gradient_kernel(const float* entropy_sums, int count, log_odds odds, const float* dloss,
                                    int64_t batch, float* dlogit_scale) {
  double sum = 0;
  for (int i = thread_index(); i < count; i += sum_threads) sum += double(entropy_sums[i] * ln_2);
  for (int64_t i = thread_index(); i < batch; i += sum_threads)
    for (float x : {odds.row[i], odds.column[i]}) sum += double(softplus(x) * sigmoid(x));
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) *dlogit_scale = float(double(*dloss) / (2.0 * double(batch)) * sum);
}

void add_diagonal(const ops::clip_loss_backward::args& a, const float* sums, const tensor& other,
                  const tensor& gradient, int64_t first_row, int64_t rows, const context& c) {
  const int64_t columns = other.dim(1);
  for_element_type(other.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(other, gradient), [&]<int Width>(width<Width>) {
      launch(clip_loss_diagonal_kernel<Width, T>, blocks_of(rows, 1), threads_of_row(columns), 0, c.stream,
             sums, other.as<const T>(), log_odds{a.row_log_odds.as<float>(), a.column_log_odds.as<float>()},
             a.logit_scale.as<const float>(), a.dloss.as<const float>(), gradient.as<T>(), first_row, rows,
             a.image.dim(0), columns);
    });
  });
}

/// The f32 memory in which a gradient is summed: its own if that is f32.
float* sums_of(const tensor& gradient, const tensor& scratch) {
  return gradient.type == dtype::f32 ? gradient.as<float>() : scratch.as<float>();
}

/// The parts of the score gradients and of the features to multiply, the largest product first; the others
/// are below the rounding error.
struct part_pair {
  int gradients, features;
};
std::span<const part_pair> part_pairs(dtype features) {
  static constexpr part_pair pairs[] = {{0, 0}, {1, 0}, {0, 1}};
  return {pairs, features == dtype::f32 ? size_t(3) : size_t(1)};
}

}  // namespace

/// The workspace of a run, in the context's scratch.
struct plan<ops::clip_loss_backward>::memory {
  score_sides sides;
  score_gradients gradients;  // of the first rows
  float* entropy_sums;
};

int64_t plan<ops::clip_loss_backward>::max_rows() const {
  return std::min(args_.image.dim(0), ops::clip_loss_sum_rows / gradient_parts_of(args_.image.type));
}

auto plan<ops::clip_loss_backward>::take(context& c) const -> memory {
  const tensor& image = args_.image;
  const int64_t batch = image.dim(0), rows = max_rows(), stride = (batch + 127) / 128 * 128;
  const int64_t feature_bytes = score_sides::bytes(image);
  const int64_t gradient_elements = gradient_parts_of(image.type) * rows * stride;
  const int64_t sums = (rows == 0 ? 0 : (batch + rows - 1) / rows) * c.properties.multiprocessors;
  auto* const first = c.scratch.take<std::byte>(feature_bytes + gradient_elements * int64_t(sizeof(bf16)) +
                                                sums * int64_t(sizeof(float)));
  auto* const parts = reinterpret_cast<bf16*>(first + feature_bytes);
  const bool is_read = args_.dimage.data || args_.dtext.data;
  return {score_sides::of(image, args_.text, first),
          {is_read ? parts : nullptr, stride, rows * stride, 0, rows},
          reinterpret_cast<float*>(parts + gradient_elements)};
}

plan<ops::clip_loss_backward>::plan(const ops::clip_loss_backward::args& a, context& c) : args_(a) {
  const int64_t batch = a.image.dim(0), rows = max_rows();
  if (batch == 0) return;
  const memory from = take(c);
  gemms_.push_back(gemms_of(rows, from, c));
  if (batch % rows != 0) gemms_.push_back(gemms_of(batch % rows, from, c));
}

auto plan<ops::clip_loss_backward>::gemms_of(int64_t rows, const memory& from, context& c) const
    -> row_gemms {
  const int64_t batch = args_.text.dim(0), embedding = args_.text.dim(1);
  const auto& [sides, gradients, sums] = from;
  const matrix_layout gradient_rows = column_slice(dtype::bf16, rows, batch, gradients.stride);
  const gemm_problem dimage{.a = gradient_rows,
                            .b = column_slice(dtype::bf16, batch, embedding, sides.text.stride),
                            .c = dense(dtype::f32, rows, embedding)};
  const gemm_problem dtext{.a = transposed(gradient_rows),
                           .b = column_slice(dtype::bf16, rows, embedding, sides.image.stride),
                           .c = dense(dtype::f32, batch, embedding)};
  gemm_problem dimage_accumulate = dimage, dtext_accumulate = dtext;
  dimage_accumulate.has_addend = dtext_accumulate.has_addend = true;
  float* const image_sums = sums_of(args_.dimage, args_.image_sums);
  float* const text_sums = sums_of(args_.dtext, args_.text_sums);
  const gemm_operands image_operands{gradients.parts, sides.text.parts, image_sums, nullptr, image_sums};
  const gemm_operands text_operands{gradients.parts, sides.image.parts, text_sums, nullptr, text_sums};
  return {gemm(dimage, image_operands, c), gemm(dimage_accumulate, image_operands, c),
          gemm(dtext, text_operands, c), gemm(dtext_accumulate, text_operands, c)};
}

void plan<ops::clip_loss_backward>::run(context& c) {
  const ops::clip_loss_backward::args& a = args_;
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1), rows = max_rows();
  const memory from = take(c);
  copy_features(a.image, a.text, from.sides, c);
  // sums = gradients features, or sums += if `accumulate`, from row first_row of the features on
  const auto multiply = [&](gemm& overwriting, gemm& accumulating, const feature_rows& features,
                            int64_t first_row, float* sums, bool accumulate) {
    for (const part_pair& part : part_pairs(a.image.type)) {
      const gemm_operands at{.a = from.gradients.part(part.gradients),
                             .b = features.part(part.features) + first_row * features.stride,
                             .c = sums,
                             .addend = sums};
      (accumulate ? accumulating : overwriting).run(at, c);
      accumulate = true;
    }
  };
  int entropies = 0;
  float* const text_sums = sums_of(a.dtext, a.text_sums);
  for (int64_t begin = 0; begin < batch; begin += rows) {
    score_gradients gradients = from.gradients;
    gradients.first_row = begin;
    gradients.rows = std::min(rows, batch - begin);
    entropies += compute_score_gradients(a, from.sides, gradients, from.entropy_sums + entropies, c);
    row_gemms& gemms = gradients.rows == rows ? gemms_.front() : gemms_.back();
    if (a.dimage.data) {
      float* sums = sums_of(a.dimage, a.image_sums);
      if (sums == a.dimage.data) sums += begin * embedding;
      multiply(gemms.dimage_overwrite, gemms.dimage_accumulate, from.sides.text, 0, sums, false);
      add_diagonal(a, sums, a.text, a.dimage, begin, gradients.rows, c);
    }
    if (a.dtext.data)
      multiply(gemms.dtext_overwrite, gemms.dtext_accumulate, from.sides.image, begin, text_sums, begin > 0);
  }
  if (a.dtext.data) add_diagonal(a, text_sums, a.image, a.dtext, 0, batch, c);
  if (a.dlogit_scale.data)
    launch(clip_loss_scale_gradient_kernel, 1, sum_threads, sum_scratch_bytes, c.stream, from.entropy_sums,
           entropies, log_odds{a.row_log_odds.as<float>(), a.column_log_odds.as<float>()},
           a.dloss.as<const float>(), batch, a.dlogit_scale.as<float>());
}

}  // namespace eva::cuda
