// Conversions between floating-point types, bit by bit against double arithmetic, for every instruction set
// that the processor supports.
#include "cpu/dispatch/convert_elements.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/error.h"
#include "instruction_sets.h"

namespace eva::test {
namespace {

/// The instruction set under test.
std::string level;

/// The value of a bit pattern with the given numbers of exponent and fraction bits, in double.
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

/// The nearest 16-bit pattern, by comparison with its two neighbors, so that it shares no rounding code with
/// the kernel.
uint32_t nearest(double value, int exponent_bits, int fraction_bits) {
  const uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits,
                 sign = std::signbit(value) ? 0x8000u : 0;
  const double size = std::abs(value);
  uint32_t low = 0, high = infinity;  // patterns have the order of their values
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (value_of(middle, exponent_bits, fraction_bits) <= size ? low : high) = middle;
  }
  // Beyond the largest number, infinity counts as the next number of the same spacing.
  const double below = value_of(low, exponent_bits, fraction_bits);
  const double above = high == infinity ? std::ldexp(1.0, 1 << (exponent_bits - 1))
                                        : value_of(high, exponent_bits, fraction_bits);
  const double to_below = size - below, to_above = above - size;
  if (std::isinf(size) || to_above < to_below) return sign | high;
  return sign | (to_below < to_above || low % 2 == 0 ? low : high);
}

/// Converts elements with a stride of `stride` elements.
template <class To, class From>
std::vector<To> convert(stored_dtype from, const std::vector<From>& values, stored_dtype to,
                        size_t stride = 1) {
  std::vector<To> result(values.size() / stride);
  cpu::conversion(from, to, level)(reinterpret_cast<const std::byte*>(values.data()),
                                   int64_t(stride * sizeof(From)), int64_t(result.size()),
                                   reinterpret_cast<std::byte*>(result.data()));
  return result;
}

/// Flushes subnormal operands and results to zero, as device threads do.
class flushed_subnormals {
 public:
#if defined(__x86_64__)
  flushed_subnormals() { _mm_setcsr(before_ | 0x8040); }
  ~flushed_subnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_ = _mm_getcsr();
#endif
};

std::vector<uint16_t> every_word() {
  std::vector<uint16_t> words(65536);
  for (size_t i = 0; i < words.size(); ++i) words[i] = uint16_t(i);
  return words;
}

/// A half or bf16 as f32, which represents all of them exactly; a NaN keeps its payload.
uint32_t single_of(uint32_t word, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  const double value = value_of(word, exponent_bits, fraction_bits);
  if (!std::isnan(value)) return std::bit_cast<uint32_t>(float(value));
  return (word & 0x8000) << 16 | 0x7f800000 | (word & ((1u << fraction_bits) - 1)) << (23 - fraction_bits);
}

void every_half_and_bf16_becomes_its_single() {
  const auto words = every_word();
  std::optional<flushed_subnormals> flushed(std::in_place);
  const auto halves = convert<uint32_t>(stored_dtype::f16, words, stored_dtype::f32);
  const auto bf16s = convert<uint32_t>(stored_dtype::bf16, words, stored_dtype::f32);
  flushed.reset();
  int wrong_halves = 0, wrong_bf16s = 0;
  for (uint32_t word = 0; word < 65536; ++word) {
    wrong_halves += halves[word] != single_of(word, 5);
    wrong_bf16s += bf16s[word] != single_of(word, 8);
  }
  check(wrong_halves == 0, "F16 to f32: " + std::to_string(wrong_halves) + " wrong");
  check(wrong_bf16s == 0, "BF16 to f32: " + std::to_string(wrong_bf16s) + " wrong");
  check(convert<uint16_t>(stored_dtype::bf16, words, stored_dtype::bf16) == words, "BF16 as it is");
}

void every_half_and_bf16_becomes_the_nearest_other() {
  const auto words = every_word();
  std::optional<flushed_subnormals> flushed(std::in_place);
  const auto to_bf16 = convert<uint16_t>(stored_dtype::f16, words, stored_dtype::bf16);
  const auto to_half = convert<uint16_t>(stored_dtype::bf16, words, stored_dtype::f16);
  flushed.reset();
  int wrong_bf16s = 0, wrong_halves = 0;
  for (uint32_t word = 0; word < 65536; ++word) {
    const double half = value_of(word, 5, 10), bf16 = value_of(word, 8, 7);
    wrong_bf16s +=
        std::isnan(half) ? (to_bf16[word] & 0x7fff) <= 0x7f80 : to_bf16[word] != nearest(half, 8, 7);
    wrong_halves +=
        std::isnan(bf16) ? (to_half[word] & 0x7fff) <= 0x7c00 : to_half[word] != nearest(bf16, 5, 10);
  }
  check(wrong_bf16s == 0, "F16 to bf16: " + std::to_string(wrong_bf16s) + " wrong");
  check(wrong_halves == 0, "BF16 to f16: " + std::to_string(wrong_halves) + " wrong");
}

/// Random patterns, and the midpoints between all neighboring 16-bit numbers, which are ties.
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

/// A NaN keeps the upper bits of its payload and becomes quiet.
void a_nan_stays_one() {
  const std::vector<uint32_t> singles = {0x7f800001, 0x7fc00000, 0xffffffff, 0xff802000};
  const std::vector<uint64_t> doubles = {0x7ff0000000000001, 0x7ff8000000000000, 0xffffffffffffffff};
  using words = std::vector<uint16_t>;
  check(convert<uint16_t>(stored_dtype::f32, singles, stored_dtype::f16) ==
            words{0x7e00, 0x7e00, 0xffff, 0xfe01},
        "a NaN of f32 in f16");
  check(convert<uint16_t>(stored_dtype::f32, singles, stored_dtype::bf16) ==
            words{0x7fc0, 0x7fc0, 0xffff, 0xffc0},
        "a NaN of f32 in bf16");
  check(convert<uint32_t>(stored_dtype::f64, doubles, stored_dtype::f32) ==
            std::vector<uint32_t>{0x7fc00000, 0x7fc00000, 0xffffffff},
        "a NaN of f64 in f32");
}

/// Remainders that do not fill a vector, and strided elements, give the same bits as full vectors.
void any_count_and_distance() {
  std::vector<float> values(3 * 131);
  std::mt19937 random(11);
  for (float& value : values) value = std::bit_cast<float>(uint32_t(random()));
  for (const stored_dtype to : {stored_dtype::f32, stored_dtype::f16, stored_dtype::bf16}) {
    const auto all = convert<uint32_t>(stored_dtype::f32, values, to);
    const auto* bytes = reinterpret_cast<const char*>(all.data());
    const auto element = size_t(size_of(to));
    for (size_t count = 0; count <= 70; ++count) {
      const auto some = convert<uint32_t>(stored_dtype::f32,
                                          std::vector(values.begin(), values.begin() + int64_t(count)), to);
      check(std::equal(bytes, bytes + count * element, reinterpret_cast<const char*>(some.data())),
            std::to_string(count) + " elements");
    }
    const auto apart = convert<uint32_t>(stored_dtype::f32, values, to, 3);
    for (size_t i = 0; i < apart.size(); ++i)
      check(std::memcmp(reinterpret_cast<const char*>(apart.data()) + i * element, bytes + 3 * i * element,
                        element) == 0,
            "element " + std::to_string(3 * i));
  }
}

void nothing_becomes_a_double() {
  try {
    cpu::conversion(stored_dtype::f32, stored_dtype::f64, level);
    check(false, "f32 to F64 is refused");
  } catch (const argument_error&) {
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva;
  using namespace eva::test;
  return for_each_instruction_set(
      [](const char* name) { cpu::conversion(stored_dtype::f32, stored_dtype::f32, name); },
      [](const char* name) {
        level = name;
        every_half_and_bf16_becomes_its_single();
        every_half_and_bf16_becomes_the_nearest_other();
        rounding_is_to_the_nearest();
        a_nan_stays_one();
        any_count_and_distance();
        nothing_becomes_a_double();
      });
}
