#include <array>

#include "cpu/clip_loss/clip_loss.h"
#include "cpu/clip_loss/logits_tile.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
/// Initial value of maxima: below every logit, but finite, for rows without negative pairs.
constexpr float lowest = -1e30f;

/// Per-lane maximum of `best` and the first `width` lanes of x.
vec larger(vec best, vec x, whole) { return maximum(x, best); }
vec larger(vec best, vec x, int width) {
  for (int lane = width; lane < lanes; ++lane) x[lane] = best[lane];
  return maximum(x, best);
}

struct row_statistics {
  float positive, log_odds;
  bool is_correct;
};

/// Softmax of the negative pairs of a row. Sets the positive pair to -infinity, which excludes it from the
/// columns, too.
row_statistics row_softmax(const logits_tile& tile, int64_t i) {
  const float positive = tile.positive(i) * tile.scale;
  tile.positive(i) = -infinity;
  const float* logits = tile.row(i);
  vec best = broadcast(lowest);
  sweep(tile.batch,
        [&](int64_t j, auto width) { best = larger(best, load(logits + j, width) * tile.scale, width); });
  const float max = reduce_max(best);
  const float sum = sum_over(
      tile.batch, [&](int64_t j, auto width) { return exp(load(logits + j, width) * tile.scale - max); });
  return {positive, max + std::log(sum) - positive, positive >= max};
}

/// Online softmax (Milakov and Gimelshein 2018): updates the running maximum and sum of e^(S - maximum) of
/// `width` columns from j on with the rows of one more tile.
template <class Width>
void column_softmax(const logits_tile& tile, int64_t j, Width width, float* maxima, float* sums) {
  vec max = load(maxima + j, width);
  const vec previous_max = max;
  for (int64_t i = 0; i < tile.rows; ++i) max = maximum(load(tile.row(i) + j, width) * tile.scale, max);
  vec sum = load(sums + j, width) * exp(previous_max - max);
  for (int64_t i = 0; i < tile.rows; ++i) sum += exp(load(tile.row(i) + j, width) * tile.scale - max);
  store(maxima + j, max, width);
  store(sums + j, sum, width);
}

/// Loss and accuracy of one direction, image to text or text to image.
struct direction_totals {
  double loss = 0;
  int64_t correct = 0;

  /// Adds row or column i, `positive` being the logit of its positive pair; the output pointers may be null.
  void add(int64_t i, float positive, float log_odds, bool is_correct, float* log_sums, float* all_log_odds) {
    const double entropy = softplus(log_odds);
    loss += entropy;
    correct += is_correct;
    if (log_sums) log_sums[i] = float(positive + entropy);
    if (all_log_odds) all_log_odds[i] = log_odds;
  }
};

}  // namespace

plan<ops::clip_loss>::plan(const ops::clip_loss::args& a, context&) : args_(a) {
  for (int64_t rows : tile_heights(a.image.dim(0))) logits_.emplace_back(logits_gemm(rows, a.text));
}

void plan<ops::clip_loss>::run(context& c) {
  const ops::clip_loss::args& a = args_;
  const int64_t batch = a.image.dim(0), row_bytes = a.image.dim(1) * size_of(a.image.type);
  float* const maxima = a.column_state.as<float>();
  float* const sums = maxima + batch;
  float* const positive = sums + batch;
  std::fill_n(maxima, batch, lowest);
  std::fill_n(sums, batch, 0.0f);
  direction_totals images, texts;
  std::array<row_statistics, ops::clip_loss_tile_rows> statistics;

  for_each_tile(batch, logits_, [&](int64_t begin, int64_t rows, gemm& logits) {
    const logits_tile tile{a.tile.as<float>(), begin, rows, batch, scale_of(a.logit_scale)};
    logits.run(a.image.as<std::byte>() + begin * row_bytes, a.text.data, tile.data);
    parallel_for(c, rows, 8, [&](int64_t first_row, int64_t last_row) {
      for (int64_t i = first_row; i < last_row; ++i) statistics[size_t(i)] = row_softmax(tile, i);
    });
    const int64_t chunks = (batch + lanes - 1) / lanes;
    parallel_for(c, chunks, 4, [&](int64_t first_chunk, int64_t last_chunk) {
      const int64_t from = first_chunk * lanes;
      sweep(std::min(batch, last_chunk * lanes) - from,
            [&](int64_t j, auto width) { column_softmax(tile, from + j, width, maxima, sums); });
    });
    for (int64_t i = 0; i < rows; ++i) {
      const row_statistics& row = statistics[size_t(i)];
      positive[begin + i] = row.positive;
      images.add(begin + i, row.positive, row.log_odds, row.is_correct, a.row_log_sum.as<float>(),
                 a.row_log_odds.as<float>());
    }
  });

  for (int64_t j = 0; j < batch; ++j)
    texts.add(j, positive[j], maxima[j] + std::log(sums[j]) - positive[j], positive[j] >= maxima[j],
              a.column_log_sum.as<float>(), a.column_log_odds.as<float>());
  if (a.loss.data) *a.loss.as<float>() = float((images.loss + texts.loss) / (2.0 * double(batch)));
  if (a.image_accuracy.data) *a.image_accuracy.as<float>() = float(images.correct) / float(batch);
  if (a.text_accuracy.data) *a.text_accuracy.as<float>() = float(texts.correct) / float(batch);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
