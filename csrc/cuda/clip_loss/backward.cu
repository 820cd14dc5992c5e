#include <span>

#include "cuda/clip_loss/clip_loss.h"
#include "cuda/clip_loss/probability.cuh"
#include "cuda/clip_loss/weights.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {
namespace {

using namespace device;

struct log_odds {
  const float *row, *column;  // [B]
};

// gradient = sums + s G_ii other, rows of it, with G_ii = (P + Q - 2) dloss / (2 B); sums may be gradient.
template <int Width, class T>
__global__ void clip_loss_pairs_kernel(const float* sums, const T* other, log_odds odds,
                                       const float* logit_scale, const float* dloss, T* gradient,
                                       int64_t first_row, int64_t rows, int64_t batch, int64_t columns) {
  const float factor = expf(*logit_scale) * *dloss / (2.0f * float(batch));
  for (int64_t row = block_index(); row < rows; row += grid_blocks()) {
    const int64_t i = first_row + row;
    const float weight = -factor * (wrong_probability(odds.row[i]) + wrong_probability(odds.column[i]));
    for_groups_of_row<Width>(columns, [&](int64_t k) {
      float values[Width], pairs[Width];
      load_elements(sums + row * columns + k, values);
      load_elements(other + i * columns + k, pairs);
      for (int j = 0; j < Width; ++j) values[j] += weight * pairs[j];
      store_elements(gradient + i * columns + k, values);
    });
  }
}

constexpr int sum_threads = 1024, sum_scratch_bytes = sum_threads / warp_lanes * int(sizeof(double));

// With S - own = log P + the cross-entropy, the sum of G ∘ S is that of P log P + Q log Q beside the
// diagonal, and of each answer's cross-entropy times its probability of being wrong.
__global__ void __launch_bounds__(sum_threads)
    clip_loss_scale_gradient_kernel(const float* entropy_sums, int count, log_odds odds, const float* dloss,
                                    int64_t batch, float* dlogit_scale) {
  double sum = 0;
  for (int i = thread_index(); i < count; i += sum_threads) sum += double(entropy_sums[i] * ln_2);
  for (int64_t i = thread_index(); i < batch; i += sum_threads)
    for (float x : {odds.row[i], odds.column[i]}) sum += double(softplus(x) * wrong_probability(x));
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) *dlogit_scale = float(double(*dloss) / (2.0 * double(batch)) * sum);
}

void add_pairs(const ops::clip_loss_backward::args& a, const float* sums, const tensor& other,
               const tensor& gradient, int64_t first_row, int64_t rows, const context& c) {
  const int64_t columns = other.dim(1);
  for_element_type(other.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(other, gradient), [&]<int Width>(width<Width>) {
      launch(clip_loss_pairs_kernel<Width, T>, blocks_of(rows, 1), threads_of_row(columns), 0, c.stream, sums,
             other.as<const T>(), log_odds{a.row_log_odds.as<float>(), a.column_log_odds.as<float>()},
             a.logit_scale.as<const float>(), a.dloss.as<const float>(), gradient.as<T>(), first_row, rows,
             a.image.dim(0), columns);
    });
  });
}

/// Where a gradient is summed in f32: in its own memory if that is f32.
float* sums_of(const tensor& gradient, const tensor& scratch) {
  return gradient.type == dtype::f32 ? gradient.as<float>() : scratch.as<float>();
}

/// The parts of the weights and of the features whose products count, the largest first.
struct part_pair {
  int weights, features;
};
std::span<const part_pair> part_pairs(dtype features) {
  static constexpr part_pair pairs[] = {{0, 0}, {1, 0}, {0, 1}};
  return {pairs, features == dtype::f32 ? size_t(3) : size_t(1)};
}

}  // namespace

/// What a run computes with, in the context's scratch.
struct plan<ops::clip_loss_backward>::memory {
  score_sides sides;
  score_weights weights;  // of the first rows
  float* entropy_sums;
};

int64_t plan<ops::clip_loss_backward>::most_rows() const {
  return std::min(args_.image.dim(0), ops::clip_loss_sum_rows / weight_parts_of(args_.image.type));
}

auto plan<ops::clip_loss_backward>::take(context& c) const -> memory {
  const tensor& image = args_.image;
  const int64_t batch = image.dim(0), rows = most_rows(), stride = (batch + 127) / 128 * 128;
  const int64_t feature_bytes = score_sides::bytes(image);
  const int64_t weights = weight_parts_of(image.type) * rows * stride;
  const int64_t sums = (rows == 0 ? 0 : (batch + rows - 1) / rows) * c.properties.multiprocessors;
  auto* const first = c.scratch.take<std::byte>(feature_bytes + weights * int64_t(sizeof(bf16)) +
                                                sums * int64_t(sizeof(float)));
  auto* const parts = reinterpret_cast<bf16*>(first + feature_bytes);
  const bool wanted = args_.dimage.data || args_.dtext.data;
  return {score_sides::of(image, args_.text, first),
          {wanted ? parts : nullptr, stride, rows * stride, 0, rows},
          reinterpret_cast<float*>(parts + weights)};
}

plan<ops::clip_loss_backward>::plan(const ops::clip_loss_backward::args& a, context& c) : args_(a) {
  const int64_t batch = a.image.dim(0), most = most_rows();
  if (batch == 0) return;
  const memory from = take(c);
  products_.push_back(products_of(most, from, c));
  if (batch % most != 0) products_.push_back(products_of(batch % most, from, c));
}

auto plan<ops::clip_loss_backward>::products_of(int64_t rows, const memory& from, context& c) const
    -> row_products {
  const int64_t batch = args_.text.dim(0), embedding = args_.text.dim(1);
  const auto& [sides, weights, sums] = from;
  const matrix_layout rows_of_weights = column_slice(dtype::bf16, rows, batch, weights.stride);
  const product_form dimage{.a = rows_of_weights,
                            .b = column_slice(dtype::bf16, batch, embedding, sides.text.stride),
                            .c = dense(dtype::f32, rows, embedding)};
  const product_form dtext{.a = transposed(rows_of_weights),
                           .b = column_slice(dtype::bf16, rows, embedding, sides.image.stride),
                           .c = dense(dtype::f32, batch, embedding)};
  product_form more_dimage = dimage, more_dtext = dtext;
  more_dimage.has_addend = more_dtext.has_addend = true;
  float *const image_sums = sums_of(args_.dimage, args_.image_sums), *const text_sums = sums_of(
                                                                         args_.dtext, args_.text_sums);
  const product_operands image_like{weights.parts, sides.text.parts, image_sums, nullptr, image_sums};
  const product_operands text_like{weights.parts, sides.image.parts, text_sums, nullptr, text_sums};
  return {matrix_product(dimage, image_like, c), matrix_product(more_dimage, image_like, c),
          matrix_product(dtext, text_like, c), matrix_product(more_dtext, text_like, c)};
}

void plan<ops::clip_loss_backward>::run(context& c) {
  const ops::clip_loss_backward::args& a = args_;
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1), most = most_rows();
  const memory from = take(c);
  copy_features(a.image, a.text, from.sides, c);
  // sums (+)= weights features, from first_row of the features on
  const auto multiply = [&](matrix_product& first, matrix_product& more, const feature_rows& features,
                            int64_t first_row, float* sums, bool adds) {
    for (const part_pair& part : part_pairs(a.image.type)) {
      const product_operands at{.a = from.weights.part(part.weights),
                                .b = features.part(part.features) + first_row * features.stride,
                                .c = sums,
                                .addend = sums};
      (adds ? more : first).run(at, c);
      adds = true;
    }
  };
  int entropies = 0;
  float* const text_sums = sums_of(a.dtext, a.text_sums);
  for (int64_t begin = 0; begin < batch; begin += most) {
    score_weights weights = from.weights;
    weights.first_row = begin;
    weights.rows = std::min(most, batch - begin);
    entropies += weigh_scores(a, from.sides, weights, from.entropy_sums + entropies, c);
    row_products& products = weights.rows == most ? products_.front() : products_.back();
    if (a.dimage.data) {
      float* sums = sums_of(a.dimage, a.image_sums);
      if (sums == a.dimage.data) sums += begin * embedding;
      multiply(products.first_dimage, products.more_dimage, from.sides.text, 0, sums, false);
      add_pairs(a, sums, a.text, a.dimage, begin, weights.rows, c);
    }
    if (a.dtext.data)
      multiply(products.first_dtext, products.more_dtext, from.sides.image, begin, text_sums, begin > 0);
  }
  if (a.dtext.data) add_pairs(a, text_sums, a.image, a.dtext, 0, batch, c);
  if (a.dlogit_scale.data)
    launch(clip_loss_scale_gradient_kernel, 1, sum_threads, sum_scratch_bytes, c.stream, from.entropy_sums,
           entropies, log_odds{a.row_log_odds.as<float>(), a.column_log_odds.as<float>()},
           a.dloss.as<const float>(), batch, a.dlogit_scale.as<float>());
}

}  // namespace eva::cuda
