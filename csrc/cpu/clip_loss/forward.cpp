#include <array>

#include "cpu/clip_loss/clip_loss.h"
#include "cpu/clip_loss/logits_tile.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
/// Below every logit, and finite: where maxima start, so that there is one where a row has no other column.
constexpr float lowest = -1e30f;

/// Lane by lane the larger of `best` and the first `width` lanes of x.
vec larger(vec best, vec x, whole) { return maximum(x, best); }
vec larger(vec best, vec x, int width) {
  for (int lane = width; lane < lanes; ++lane) x[lane] = best[lane];
  return maximum(x, best);
}

struct row_statistics {
  float own, log_odds;
  bool own_is_best;
};

/// The softmax of a row. Its own pair is taken out of the tile, for the columns as well.
row_statistics row_softmax(const logits_tile& tile, int64_t i) {
  const float own = tile.own(i) * tile.scale;
  tile.own(i) = -infinity;
  const float* logits = tile.row(i);
  vec best = broadcast(lowest);
  sweep(tile.batch,
        [&](int64_t j, auto width) { best = larger(best, load(logits + j, width) * tile.scale, width); });
  const float peak = reduce_max(best);
  const float sum = sum_over(
      tile.batch, [&](int64_t j, auto width) { return exp(load(logits + j, width) * tile.scale - peak); });
  return {own, peak + std::log(sum) - own, own >= peak};
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

/// What is known of one side's answers when they all have been scored.
struct outcome {
  double loss = 0;
  int64_t right = 0;

  /// Answer i, whose own pair scored `own`; the log sums and odds may be null.
  void add(int64_t i, float own, float log_odds, bool own_is_best, float* log_sums, float* all_log_odds) {
    const double entropy = softplus(log_odds);
    loss += entropy;
    right += own_is_best;
    if (log_sums) log_sums[i] = float(own + entropy);
    if (all_log_odds) all_log_odds[i] = log_odds;
  }
};

}  // namespace

plan<ops::clip_loss>::plan(const ops::clip_loss::args& a, context&) : args_(a) {
  for (int64_t rows : tile_heights(a.image.dim(0))) logits_.emplace_back(logits_form(rows, a.text));
}

void plan<ops::clip_loss>::run(context& c) {
  const ops::clip_loss::args& a = args_;
  const int64_t batch = a.image.dim(0), row_bytes = a.image.dim(1) * size_of(a.image.type);
  float* const peaks = a.column_state.as<float>();
  float* const sums = peaks + batch;
  float* const own = sums + batch;
  std::fill_n(peaks, batch, lowest);
  std::fill_n(sums, batch, 0.0f);
  outcome images, texts;
  std::array<row_statistics, ops::clip_loss_tile_rows> statistics;

  for_each_tile(batch, logits_, [&](int64_t begin, int64_t rows, matrix_product& logits) {
    const logits_tile tile{a.tile.as<float>(), begin, rows, batch, scale_of(a.logit_scale)};
    logits.run(a.image.as<std::byte>() + begin * row_bytes, a.text.data, tile.data);
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
      own[begin + i] = row.own;
      images.add(begin + i, row.own, row.log_odds, row.own_is_best, a.row_log_sum.as<float>(),
                 a.row_log_odds.as<float>());
    }
  });

  for (int64_t j = 0; j < batch; ++j)
    texts.add(j, own[j], peaks[j] + std::log(sums[j]) - own[j], own[j] >= peaks[j],
              a.column_log_sum.as<float>(), a.column_log_odds.as<float>());
  if (a.loss.data) *a.loss.as<float>() = float((images.loss + texts.loss) / (2.0 * double(batch)));
  if (a.image_accuracy.data) *a.image_accuracy.as<float>() = float(images.right) / float(batch);
  if (a.text_accuracy.data) *a.text_accuracy.as<float>() = float(texts.right) / float(batch);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
