#include "cpu/clip_loss.h"

#include <array>
#include <cmath>

#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr int64_t tile_rows = ops::clip_loss_tile_rows;
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Lane by lane the larger of `best` and the first `width` lanes of x.
vec larger(vec best, vec x, whole) { return maximum(x, best); }
vec larger(vec best, vec x, int width) {
  for (int lane = width; lane < lanes; ++lane) x[lane] = best[lane];
  return maximum(x, best);
}

/// Rows of the whole tiles and, where the batch does not divide, of the last one.
std::vector<int64_t> tile_heights(int64_t batch) {
  std::vector<int64_t> heights = {std::min(batch, tile_rows)};
  if (batch > tile_rows && batch % tile_rows != 0) heights.push_back(batch % tile_rows);
  return heights;
}

/// image[rows] textᵀ
product_form logits_form(int64_t rows, int64_t batch, int64_t embedding) {
  return {.a = dense(dtype::f32, rows, embedding),
          .b = transposed(dense(dtype::f32, batch, embedding)),
          .c = dense(dtype::f32, rows, batch)};
}

/// Rows begin … begin + rows - 1 of the products of images and texts, not yet scaled.
struct logits_tile {
  float* data;  // [rows, batch]
  int64_t begin, rows, batch;
  float scale;

  float* row(int64_t i) const { return data + i * batch; }
};

/// Calls body(begin, rows, products of a tile of that height) for each tile of the batch.
template <class Products, class Body>
void for_each_tile(int64_t batch, std::vector<Products>& products, const Body& body) {
  for (int64_t begin = 0; begin < batch; begin += tile_rows) {
    const int64_t rows = std::min(tile_rows, batch - begin);
    body(begin, rows, rows == tile_rows ? products.front() : products.back());
  }
}

float scale_of(const tensor& logit_scale) { return std::exp(*logit_scale.as<float>()); }

struct row_statistics {
  float log_sum, own;
  bool own_is_best;
};

row_statistics row_softmax(const logits_tile& tile, int64_t i) {
  const float* logits = tile.row(i);
  vec best = broadcast(-infinity);
  sweep(tile.batch,
        [&](int64_t j, auto width) { best = larger(best, load(logits + j, width) * tile.scale, width); });
  const float peak = reduce_max(best);
  const float sum = sum_over(
      tile.batch, [&](int64_t j, auto width) { return exp(load(logits + j, width) * tile.scale - peak); });
  const float own = logits[tile.begin + i] * tile.scale;
  return {peak + std::log(sum), own, own >= peak};
}

/// Carries the softmax of `width` columns from j on over the rows of one more tile (Milakov and Gimelshein
/// 2018, online normaliser): the maximum and the sum of e^(S - maximum).
template <class Width>
void column_softmax(const logits_tile& tile, int64_t j, Width width, float* peaks, float* sums) {
  vec peak = load(peaks + j, width);
  const vec peak_before = peak;
  for (int64_t i = 0; i < tile.rows; ++i) peak = maximum(load(tile.row(i) + j, width) * tile.scale, peak);
  vec sum = load(sums + j, width) * exp(peak_before - peak);
  for (int64_t i = 0; i < tile.rows; ++i) sum += exp(load(tile.row(i) + j, width) * tile.scale - peak);
  store(peaks + j, peak, width);
  store(sums + j, sum, width);
}

}  // namespace

plan<ops::clip_loss>::plan(const ops::clip_loss::args& a, context&) : args_(a) {
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1);
  for (int64_t rows : tile_heights(batch)) logits_.emplace_back(logits_form(rows, batch, embedding));
}

void plan<ops::clip_loss>::run(context& c) {
  const ops::clip_loss::args& a = args_;
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1);
  float* const peaks = a.column_state.as<float>();
  float* const sums = peaks + batch;
  float* const own = sums + batch;
  std::fill_n(peaks, batch, -infinity);
  std::fill_n(sums, batch, 0.0f);
  double loss = 0;
  int64_t images_right = 0, texts_right = 0;
  std::array<row_statistics, tile_rows> statistics;

  for_each_tile(batch, logits_, [&](int64_t begin, int64_t rows, matrix_product& logits) {
    const logits_tile tile{a.tile.as<float>(), begin, rows, batch, scale_of(a.logit_scale)};
    logits.run(a.image.as<float>() + begin * embedding, a.text.data, tile.data);
    parallel_for(c, rows, 8, [&](int64_t first_row, int64_t last_row) {
      for (int64_t i = first_row; i < last_row; ++i) statistics[size_t(i)] = row_softmax(tile, i);
    });
    const int64_t chunks = (batch + lanes - 1) / lanes;
    parallel_for(c, chunks, 4, [&](int64_t first_chunk, int64_t last_chunk) {
      const int64_t from = first_chunk * lanes;
      sweep(std::min(batch, last_chunk * lanes) - from,
            [&](int64_t j, auto width) { column_softmax(tile, from + j, width, peaks, sums); });
    });
    for (int64_t i = 0; i < rows; ++i) {
      const row_statistics& row = statistics[size_t(i)];
      loss += double(row.log_sum) - row.own;
      images_right += row.own_is_best;
      own[begin + i] = row.own;
      if (a.row_log_sum.data) a.row_log_sum.as<float>()[begin + i] = row.log_sum;
    }
  });

  for (int64_t j = 0; j < batch; ++j) {
    const float log_sum = peaks[j] + std::log(sums[j]);
    loss += double(log_sum) - own[j];
    texts_right += own[j] >= peaks[j];
    if (a.column_log_sum.data) a.column_log_sum.as<float>()[j] = log_sum;
  }
  if (a.loss.data) *a.loss.as<float>() = float(loss / (2.0 * double(batch)));
  if (a.image_accuracy.data) *a.image_accuracy.as<float>() = float(images_right) / float(batch);
  if (a.text_accuracy.data) *a.text_accuracy.as<float>() = float(texts_right) / float(batch);
}

plan<ops::clip_loss_backward>::tile_products::tile_products(int64_t rows, int64_t batch, int64_t embedding)
    : logits(logits_form(rows, batch, embedding)),
      dimage({.a = dense(dtype::f32, rows, batch),
              .b = dense(dtype::f32, batch, embedding),
              .c = dense(dtype::f32, rows, embedding)}),
      first_dtext({.a = transposed(dense(dtype::f32, rows, batch)),
                   .b = dense(dtype::f32, rows, embedding),
                   .c = dense(dtype::f32, batch, embedding)}),
      more_dtext({.a = transposed(dense(dtype::f32, rows, batch)),
                  .b = dense(dtype::f32, rows, embedding),
                  .c = dense(dtype::f32, batch, embedding),
                  .accumulate = true}) {}

plan<ops::clip_loss_backward>::plan(const ops::clip_loss_backward::args& a, context&) : args_(a) {
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1);
  for (int64_t rows : tile_heights(batch)) products_.emplace_back(rows, batch, embedding);
}

namespace {

/// Turns row i of the tile into s G, G = factor (P + Q - 2 I), and returns the row's sum of G ∘ S.
double gradient_row(const logits_tile& tile, int64_t i, float row_log_sum, const float* column_log_sum,
                    float factor) {
  float* logits = tile.row(i);
  const int64_t diagonal = tile.begin + i;
  const float own = logits[diagonal] * tile.scale;
  const float sum = sum_over(tile.batch, [&](int64_t j, auto width) {
    const vec s = load(logits + j, width) * tile.scale;
    const vec g = (exp(s - row_log_sum) + exp(s - load(column_log_sum + j, width))) * factor;
    store(logits + j, g * tile.scale, width);
    return g * s;
  });
  logits[diagonal] -= 2 * factor * tile.scale;
  return double(sum) - 2.0 * factor * own;
}

}  // namespace

void plan<ops::clip_loss_backward>::run(context& c) {
  const ops::clip_loss_backward::args& a = args_;
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1);
  const float factor = *a.dloss.as<float>() / (2.0f * float(batch));
  double dlogit_scale = 0;
  std::array<double, tile_rows> row_sums;

  for_each_tile(batch, products_, [&](int64_t begin, int64_t rows, tile_products& products) {
    const logits_tile tile{a.tile.as<float>(), begin, rows, batch, scale_of(a.logit_scale)};
    const float* image = a.image.as<float>() + begin * embedding;
    products.logits.run(image, a.text.data, tile.data);
    parallel_for(c, rows, 8, [&](int64_t first_row, int64_t last_row) {
      for (int64_t i = first_row; i < last_row; ++i)
        row_sums[size_t(i)] =
            gradient_row(tile, i, a.row_log_sum.as<float>()[begin + i], a.column_log_sum.as<float>(), factor);
    });
    for (int64_t i = 0; i < rows; ++i) dlogit_scale += row_sums[size_t(i)];
    if (a.dimage.data) products.dimage.run(tile.data, a.text.data, a.dimage.as<float>() + begin * embedding);
    matrix_product& dtext = begin == 0 ? products.first_dtext : products.more_dtext;
    if (a.dtext.data) dtext.run(tile.data, image, a.dtext.data);
  });
  if (a.dlogit_scale.data) *a.dlogit_scale.as<float>() = float(dlogit_scale);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
