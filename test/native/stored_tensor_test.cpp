// Stored tensors: conversions bit by bit against double arithmetic, views in any order, windows, and bad
// views.
#include "io/stored_tensor.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/error.h"
#include "io/convert_elements.h"
#include "temporary_file.h"

namespace eva::test {
namespace {

using io::stored_dtype;

int failures = 0;

void check(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

template <class T> std::vector<char> bytes_of(const std::vector<T>& values) {
  std::vector<char> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::shared_ptr<const mapped_file> map(const temporary_file& file) {
  return std::make_shared<const mapped_file>(file.path());
}

/// The value of a bit pattern with so many exponent and fraction bits, in double.
double value_of(uint32_t bits, int exponent_bits, int fraction_bits) {
  const uint32_t fraction = bits & ((1u << fraction_bits) - 1);
  const int exponent = int(bits >> fraction_bits & ((1u << exponent_bits) - 1));
  const double sign = bits >> (exponent_bits + fraction_bits) & 1 ? -1 : 1;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1 << exponent_bits) - 1)
    return fraction ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  const double mantissa = std::ldexp(double(fraction), -fraction_bits) + (exponent ? 1 : 0);
  return sign * std::ldexp(mantissa, std::max(exponent, 1) - bias);
}

/// The nearest 16-bit pattern by comparing with the two around it: no rounding tricks to share a mistake
/// with.
uint32_t nearest(double value, int exponent_bits, int fraction_bits) {
  const uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits,
                 sign = std::signbit(value) ? 0x8000u : 0;
  const double size = std::abs(value);
  uint32_t low = 0, high = infinity;  // patterns are ordered as their values
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (value_of(middle, exponent_bits, fraction_bits) <= size ? low : high) = middle;
  }
  // Beyond the largest number, infinity counts as the next one of the same spacing.
  const double below = value_of(low, exponent_bits, fraction_bits);
  const double above = high == infinity ? std::ldexp(1.0, 1 << (exponent_bits - 1))
                                        : value_of(high, exponent_bits, fraction_bits);
  const double to_below = size - below, to_above = above - size;
  if (std::isinf(size) || to_above < to_below) return sign | high;
  return sign | (to_below < to_above || low % 2 == 0 ? low : high);
}

template <class To, class From>
std::vector<To> convert(stored_dtype from, const std::vector<From>& values, stored_dtype to) {
  std::vector<To> result(values.size());
  io::conversion(from, to)(reinterpret_cast<const std::byte*>(values.data()), sizeof(From),
                           int64_t(values.size()), reinterpret_cast<std::byte*>(result.data()));
  return result;
}

bool is_nan16(uint16_t bits, uint16_t infinity) { return (bits & 0x7fff) > infinity; }

void every_half_and_bf16_becomes_its_single() {
  std::vector<uint16_t> words(65536);
  for (size_t i = 0; i < words.size(); ++i) words[i] = uint16_t(i);
  std::optional<flushed_subnormals> flushed(std::in_place);
  const auto halves = convert<float>(stored_dtype::f16, words, stored_dtype::f32);
  const auto bf16s = convert<float>(stored_dtype::bf16, words, stored_dtype::f32);
  flushed.reset();
  const auto same = [](float found, double expected) {
    return std::isnan(expected) ? std::isnan(found)
                                : std::bit_cast<uint32_t>(found) == std::bit_cast<uint32_t>(float(expected));
  };
  bool half_exact = true, bf16_exact = true;
  for (uint32_t i = 0; i < 65536; ++i) {
    half_exact = half_exact && same(halves[i], value_of(i, 5, 10));
    bf16_exact = bf16_exact && same(bf16s[i], value_of(i, 8, 7));
  }
  check(half_exact, "F16 to f32");
  check(bf16_exact, "BF16 to f32");
  check(convert<uint16_t>(stored_dtype::bf16, words, stored_dtype::bf16) == words, "BF16 as it is");
}

/// Random patterns, and around every 16-bit number its midpoints to the next one, where ties are.
std::vector<double> hard_values() {
  std::mt19937_64 random(3);
  std::vector<double> values = {0.0,
                                -0.0,
                                1e-320,
                                5e-324,
                                1e300,
                                -1e300,
                                65519.99,
                                65520,
                                3.4e38,
                                3.5e38,
                                std::numeric_limits<double>::infinity(),
                                -std::numeric_limits<double>::infinity()};
  for (int i = 0; i < 20000; ++i) {
    const double any = std::bit_cast<double>(random());
    if (!std::isnan(any)) values.push_back(any);
    values.push_back(std::ldexp(double(int64_t(random())) * 0x1p-63, int(random() % 320) - 160));
  }
  for (uint32_t bits = 0; bits < 65536; bits += 7) {
    for (const int exponent_bits : {5, 8}) {
      const double here = value_of(bits, exponent_bits, 15 - exponent_bits);
      const double next = value_of(bits + 1, exponent_bits, 15 - exponent_bits);
      if (!std::isfinite(here) || !std::isfinite(next)) continue;
      const double middle = (here + next) / 2;
      for (const double value : {middle, std::nextafter(middle, 1e300), std::nextafter(middle, -1e300)})
        values.push_back(value);
    }
  }
  return values;
}

/// Makes subnormal operands and results count as zero, as a device's thread does.
class flushed_subnormals {
 public:
#if defined(__x86_64__)
  flushed_subnormals() { _mm_setcsr(before_ | 0x8040); }
  ~flushed_subnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_ = _mm_getcsr();
#endif
};

void rounding_is_to_the_nearest() {
  const auto doubles = hard_values();
  std::vector<float> floats(doubles.size());
  for (size_t i = 0; i < doubles.size(); ++i) floats[i] = float(doubles[i]);
  std::optional<flushed_subnormals> flushed(std::in_place);
  const auto f64_f32 = convert<uint32_t>(stored_dtype::f64, doubles, stored_dtype::f32);
  const auto f64_f16 = convert<uint16_t>(stored_dtype::f64, doubles, stored_dtype::f16);
  const auto f64_bf16 = convert<uint16_t>(stored_dtype::f64, doubles, stored_dtype::bf16);
  const auto f32_f16 = convert<uint16_t>(stored_dtype::f32, floats, stored_dtype::f16);
  const auto f32_bf16 = convert<uint16_t>(stored_dtype::f32, floats, stored_dtype::bf16);
  flushed.reset();
  std::vector<int> wrong(5);
  for (size_t i = 0; i < doubles.size(); ++i) {
    wrong[0] += f64_f32[i] != std::bit_cast<uint32_t>(floats[i]);
    wrong[1] += f64_f16[i] != nearest(doubles[i], 5, 10);
    wrong[2] += f64_bf16[i] != nearest(doubles[i], 8, 7);
    wrong[3] += f32_f16[i] != nearest(double(floats[i]), 5, 10);
    wrong[4] += f32_bf16[i] != nearest(double(floats[i]), 8, 7);
  }
  const char* names[] = {"F64 to f32", "F64 to f16", "F64 to bf16", "F32 to f16", "F32 to bf16"};
  for (size_t i = 0; i < wrong.size(); ++i)
    check(wrong[i] == 0, std::string(names[i]) + ": " + std::to_string(wrong[i]) + " wrong");
}

void a_nan_stays_one() {
  const std::vector<uint32_t> singles = {0x7f800001, 0x7fc00000, 0xffffffff, 0xff800001};
  const std::vector<uint64_t> doubles = {0x7ff0000000000001, 0x7ff8000000000000, 0xffffffffffffffff};
  for (uint16_t bits : convert<uint16_t>(stored_dtype::f32, singles, stored_dtype::f16))
    check(is_nan16(bits, 0x7c00), "a NaN of f32 in f16");
  for (uint16_t bits : convert<uint16_t>(stored_dtype::f32, singles, stored_dtype::bf16))
    check(is_nan16(bits, 0x7f80), "a NaN of f32 in bf16");
  for (float value : convert<float>(stored_dtype::f64, doubles, stored_dtype::f32))
    check(std::isnan(value), "a NaN of f64 in f32");
}

/// Every element of the view by its definition.
std::vector<float> expected_elements(const std::vector<float>& stored, int64_t first, const shape& dims,
                                     const shape& strides) {
  std::vector<float> elements;
  for (int64_t e = 0; e < element_count(dims); ++e) {
    int64_t rest = e, place = first;
    for (size_t i = dims.size(); i-- > 0; rest /= dims[i]) place += rest % dims[i] * strides[i];
    elements.push_back(stored[size_t(place)]);
  }
  return elements;
}

struct view {
  shape dims, strides;
};

void views_are_read_in_order() {
  std::vector<float> stored(200000);
  for (size_t i = 0; i < stored.size(); ++i) stored[i] = float(i);
  const temporary_file file(bytes_of(stored));
  const auto mapped = map(file);
  const std::vector<view> views = {{{}, {}},
                                   {{7}, {1}},
                                   {{5, 9}, {9, 1}},
                                   {{131, 257}, {1, 131}},
                                   {{257, 70}, {100, 1}},
                                   {{4, 33, 5, 6}, {6, 24, 792, 1}},
                                   {{6, 5, 33, 4}, {1, 792, 24, 6}},
                                   {{65, 3, 66}, {3, 1, 195}},
                                   {{3, 65, 66}, {1, 3, 195}},
                                   {{2, 3, 4}, {0, 4, 1}},
                                   {{5, 4}, {0, 0}},
                                   {{3, 1, 4}, {4, 77, 1}},
                                   {{2, 0, 3}, {1, 1, 1}}};
  for (const auto& [dims, strides] : views) {
    const io::stored_tensor tensor(mapped, stored_dtype::f32, 12, dims, strides);
    const auto expected = expected_elements(stored, 3, dims, strides);
    const std::string name = to_string(dims) + " with strides " + to_string(strides);
    check(tensor.size() == int64_t(expected.size()), "the size of " + name);
    std::vector<float> streamed(expected.size());
    tensor.stream(stored_dtype::f32, [&](int64_t at, const std::byte* bytes, int64_t count) {
      std::memcpy(reinterpret_cast<char*>(streamed.data()) + at, bytes, size_t(count));
    });
    check(streamed == expected, name);
    // In parts that begin and end anywhere.
    std::mt19937 random(5);
    std::vector<float> parts(expected.size());
    for (int64_t first = 0; first < tensor.size();) {
      const int64_t count = std::min(tensor.size() - first, 1 + int64_t(random() % 700));
      tensor.copy(first, count, stored_dtype::f32, parts.data() + first);
      first += count;
    }
    check(parts == expected, "parts of " + name);
  }
}

/// More than one window of each kind: in place, converted, and across the rows.
void windows_join() {
  constexpr int64_t rows = 3001, columns = 1501;
  std::vector<float> stored(rows * columns);
  std::mt19937 random(1);
  for (float& value : stored) value = float(int32_t(random() % 255)) - 127;  // exact in bf16
  const temporary_file file(bytes_of(stored));
  const auto mapped = map(file);
  const auto stream = [&](const shape& dims, const shape& strides, stored_dtype type, size_t element) {
    std::vector<char> bytes(stored.size() * element);
    int calls = 0;
    io::stored_tensor(mapped, stored_dtype::f32, 0, dims, strides)
        .stream(type, [&](int64_t at, const std::byte* window, int64_t count) {
          std::memcpy(bytes.data() + at, window, size_t(count));
          ++calls;
        });
    check(calls > 1, "there are several windows");
    return bytes;
  };
  std::vector<float> turned(stored.size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      turned[size_t(column * rows + row)] = stored[size_t(row * columns + column)];
  check(stream({rows, columns}, {columns, 1}, stored_dtype::f32, 4) == bytes_of(stored), "windows in place");
  check(stream({columns, rows}, {1, columns}, stored_dtype::f32, 4) == bytes_of(turned),
        "windows across rows");
  const auto narrow = convert<uint16_t>(stored_dtype::f32, stored, stored_dtype::bf16);
  check(stream({rows, columns}, {columns, 1}, stored_dtype::bf16, 2) == bytes_of(narrow),
        "windows converted");
}

void bad_views_are_refused() {
  const temporary_file file(std::vector<char>(64));
  const auto mapped = map(file);
  const auto code_of = [&](int64_t offset, const shape& dims, const shape& strides) -> std::string {
    try {
      const io::stored_tensor tensor(mapped, stored_dtype::f32, offset, dims, strides);
    } catch (const error& e) {
      return e.code;
    }
    return "";
  };
  const int64_t huge = int64_t(1) << 53;
  check(code_of(0, {16}, {1}).empty(), "a view of the whole file");
  check(code_of(64, {0}, {1}).empty(), "nothing at the end");
  for (const auto& [offset, dims, strides] :
       std::vector<std::tuple<int64_t, shape, shape>>{{0, {17}, {1}},
                                                      {4, {16}, {1}},
                                                      {0, {2, 2}, {15, 1}},
                                                      {65, {0}, {1}},
                                                      {-4, {1}, {1}},
                                                      {0, {2}, {-1}},
                                                      {0, {-1}, {1}},
                                                      {0, {2, 2}, {1}},
                                                      {0, {huge, huge}, {0, 0}},
                                                      {0, {huge}, {huge}},
                                                      {huge * 1000, {2}, {huge}}})
    check(code_of(offset, dims, strides) == "ERR_EVACLIP_INVALID_ARGUMENT",
          to_string(dims) + " with strides " + to_string(strides) + " at " + std::to_string(offset));
}

void a_file_cut_short_meanwhile_is_an_error() {
  const temporary_file file(std::vector<char>(100000));
  const io::stored_tensor tensor(map(file), stored_dtype::f32, 0, {25000}, {1});
  file.resize(50000);
  std::string code;
  try {
    tensor.stream(stored_dtype::bf16, [](int64_t, const std::byte*, int64_t) {});
  } catch (const error& e) {
    code = e.code;
  }
  check(code == "ERR_EVACLIP_IO", "a file cut short before it is read");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  every_half_and_bf16_becomes_its_single();
  rounding_is_to_the_nearest();
  a_nan_stays_one();
  views_are_read_in_order();
  windows_join();
  bad_views_are_refused();
  a_file_cut_short_meanwhile_is_an_error();
  std::printf(failures ? "%d failures\n" : "ok\n", failures);
  return failures != 0;
}
