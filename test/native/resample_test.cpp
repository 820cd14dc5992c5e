// Resized images against the sums that define them, byte by byte, for every instruction set that the
// processor supports. That these are Pillow's bytes is shown by test/image/resample.test.ts.
#include "image/resample.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/error.h"
#include "instruction_sets.h"

namespace eva::test {
namespace {

using image::resample_axis;

constexpr int channels = 3;

struct picture {
  int64_t width, height;
  std::vector<uint8_t> bytes = std::vector<uint8_t>(size_t(width * height * channels));
  uint8_t& at(int64_t x, int64_t y, int c) { return bytes[size_t((y * width + x) * channels + c)]; }
};

picture random_picture(int64_t width, int64_t height, uint32_t seed) {
  std::mt19937 random(seed);
  picture made{width, height};
  // Extremes show clipping, and make a wrong weight visible.
  for (auto& byte : made.bytes) byte = random() % 3 ? uint8_t(random()) : random() % 2 ? 255 : 0;
  return made;
}

/// One axis for which `at(input)` is a pixel's value.
template <class At>
uint8_t filtered(const resample_axis& axis, const image::resampling_filter& filter, int64_t output,
                 const At& at) {
  const double scale = double(axis.end - axis.begin) / double(axis.target), stretch = std::max(1.0, scale);
  const double center = axis.begin + (double(output) + 0.5) * scale, support = filter.support * stretch;
  if (axis.target == axis.length && axis.begin == 0 && axis.end == float(axis.length)) return at(output);
  const auto begin = std::max<int64_t>(0, int64_t(center - support + 0.5));
  const auto end = std::min(axis.length, int64_t(center + support + 0.5));
  double total = 0;
  for (int64_t i = begin; i < end; ++i) total += filter.weight((double(i) - center + 0.5) * (1 / stretch));
  int64_t sum = 1 << 21;
  for (int64_t i = begin; i < end; ++i) {
    const double weight = filter.weight((double(i) - center + 0.5) * (1 / stretch)) / total * (1 << 22);
    sum += at(i) * int64_t(weight < 0 ? weight - 0.5 : weight + 0.5);
  }
  return uint8_t(std::clamp<int64_t>(sum >> 22, 0, 255));
}

picture expected(picture& from, const resample_axis& x, const resample_axis& y,
                 const image::resampling_filter& filter) {
  picture columns{x.count, from.height}, both{x.count, y.count};
  for (int c = 0; c < channels; ++c)
    for (int64_t i = 0; i < x.count; ++i) {
      for (int64_t row = 0; row < from.height; ++row)
        columns.at(i, row, c) =
            filtered(x, filter, x.offset + i, [&](int64_t column) { return from.at(column, row, c); });
      for (int64_t j = 0; j < y.count; ++j)
        both.at(i, j, c) =
            filtered(y, filter, y.offset + j, [&](int64_t row) { return columns.at(i, row, c); });
    }
  return both;
}

/// In parts of `part_rows` rows; each is a vector of its own, so that sanitizers see a read beyond it.
picture resized(picture& from, const resample_axis& x, const resample_axis& y,
                const image::resampling_filter& filter, int64_t part_rows, const std::string& level) {
  picture out{x.count, y.count};
  image::resampler resize(x, y, filter, out.bytes.data(), cpu::pixel_filter_of(level));
  const auto columns = resize.columns(), rows = resize.rows();
  for (int64_t begin = rows.begin; begin < rows.end; begin += part_rows) {
    std::vector<uint8_t> part;
    for (int64_t row = begin; row < std::min(rows.end, begin + part_rows); ++row)
      part.insert(part.end(), &from.at(columns.begin, row, 0),
                  &from.at(columns.begin, row, 0) + (columns.end - columns.begin) * channels);
    check(!resize.is_complete(), "complete before its last part");
    resize.add(part);
  }
  check(resize.is_complete(), "not complete after its last part");
  return out;
}

/// The whole axis, of which outputs `offset` to `offset` + `count` are computed.
resample_axis whole(int64_t length, int64_t target, int64_t offset, int64_t count) {
  return {length, 0, float(length), target, offset, count};
}
resample_axis whole(int64_t length, int64_t target) { return whole(length, target, 0, target); }

void test_sizes(const std::string& level) {
  const std::pair<resample_axis, resample_axis> cases[] = {
      {whole(97, 31), whole(131, 17)},
      {whole(31, 97), whole(17, 70)},
      {whole(1, 40), whole(1, 3)},
      {whole(300, 1), whole(2, 1)},
      {whole(2, 5), whole(900, 7)},
      {whole(50, 50), whole(40, 23)},
      {whole(40, 23), whole(50, 50)},
      {whole(33, 33, 4, 20), whole(9, 9, 1, 7)},
      {whole(200, 64, 21, 22), whole(100, 32, 0, 22)},
      {whole(64, 200, 89, 22), whole(300, 900, 440, 22)},
      {{90, 3.25f, 71.5f, 24, 0, 24}, {80, 0.1f, 79.9f, 60, 7, 40}},
      {whole(3, 6000, 10, 900), whole(140, 70)},
  };
  uint32_t seed = 0;
  for (const auto& [x, y] : cases)
    for (const char* name : {"box", "bilinear", "hamming", "bicubic", "lanczos"}) {
      const auto& filter = image::filter_named(name);
      picture from = random_picture(x.length, y.length, ++seed);
      const picture wanted = expected(from, x, y, filter);
      for (const int64_t part_rows : {int64_t(1), int64_t(7), int64_t(1000)})
        check(resized(from, x, y, filter, part_rows, level).bytes == wanted.bytes,
              std::string(name) + " " + std::to_string(x.length) + " x " + std::to_string(y.length) +
                  " in parts of " + std::to_string(part_rows));
    }
}

/// Weights of more columns than one table holds.
void test_wide(const std::string& level) {
  const resample_axis x = whole(3'000'000, 5), y = whole(2, 2);
  picture from = random_picture(x.length, y.length, 99);
  const auto& filter = image::filter_named("bicubic");
  check(resized(from, x, y, filter, 2, level).bytes == expected(from, x, y, filter).bytes, "a wide image");
}

template <class Body> bool refused(const Body& body) {
  try {
    body();
  } catch (const argument_error&) {
    return true;
  }
  return false;
}

void test_refusals() {
  const auto& filter = image::filter_named("bicubic");
  const resample_axis good = whole(10, 5);
  std::vector<uint8_t> out(75);
  for (const resample_axis& bad :
       {whole(0, 5), whole(10, 0), whole(10, 5, 1, 5), whole(10, 5, -1, 2), whole(10, 5, 0, 0),
        resample_axis{10, 5, 5, 5, 0, 5}, resample_axis{10, 0, 11, 5, 0, 5},
        resample_axis{10, -1, 10, 5, 0, 5}, resample_axis{10, std::nanf(""), 10, 5, 0, 5}})
    check(refused([&] { image::resampler(bad, good, filter, out.data()); }), "an impossible axis");
  check(refused([] { image::filter_named("nearest"); }), "an unknown filter");
  image::resampler resize(good, good, filter, out.data());
  check(refused([&] { resize.add(std::vector<uint8_t>(31)); }), "a part of no rows");
  check(refused([&] { resize.add(std::vector<uint8_t>(330)); }), "more rows than the image has");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  test_refusals();
  return for_each_instruction_set([](const std::string& name) { eva::cpu::pixel_filter_of(name); },
                                  [](const std::string& name) {
                                    test_sizes(name);
                                    test_wide(name);
                                  });
}
