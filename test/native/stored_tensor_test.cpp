// Stored tensors: strided views, parts of them, conversion, and invalid views.
#include "io/stored_tensor.h"

#include <cstring>
#include <random>

#include "check.h"
#include "core/dtype.h"
#include "core/error.h"
#include "temporary_file.h"

namespace eva::test {
namespace {

template <class T> std::vector<char> bytes_of(const std::vector<T>& values) {
  std::vector<char> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::shared_ptr<const mapped_file> map(const temporary_file& file) {
  return std::make_shared<const mapped_file>(file.path());
}

/// Reads all elements in parts of random sizes, at most `most` each.
template <class T>
std::vector<T> elements_of(const io::stored_tensor& tensor, stored_dtype type, int64_t most) {
  std::mt19937 random(5);
  std::vector<T> elements(size_t(tensor.size()));
  for (int64_t first = 0; first < tensor.size();) {
    const int64_t count = std::min(tensor.size() - first, most - int64_t(random()) % most);
    tensor.copy(first, count, type, reinterpret_cast<std::byte*>(elements.data() + first));
    first += count;
  }
  return elements;
}

/// The expected elements, by the definition of a strided view.
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
    check(elements_of<float>(tensor, stored_dtype::f32, tensor.size()) == expected, name);
    // In parts with arbitrary bounds.
    check(elements_of<float>(tensor, stored_dtype::f32, 700) == expected, "parts of " + name);
  }
}

/// Dense, converted, and transposed; larger than the buffer of a conversion.
void large_views_are_converted() {
  constexpr int64_t rows = 3001, columns = 1501;
  std::vector<float> stored(rows * columns), turned(stored.size());
  std::mt19937 random(1);
  for (float& value : stored) value = float(int32_t(random() % 255)) - 127;  // exact in bf16
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      turned[size_t(column * rows + row)] = stored[size_t(row * columns + column)];
  const auto upper_halves = [](const std::vector<float>& values) {
    std::vector<uint16_t> halves;
    for (const float value : values) halves.push_back(bf16(value).bits);
    return halves;
  };
  const temporary_file file(bytes_of(stored));
  const auto mapped = map(file);
  const io::stored_tensor straight(mapped, stored_dtype::f32, 0, {rows, columns}, {columns, 1});
  const io::stored_tensor across(mapped, stored_dtype::f32, 0, {columns, rows}, {1, columns});
  constexpr int64_t part = 1'000'003;
  check(elements_of<float>(straight, stored_dtype::f32, part) == stored, "in place");
  check(elements_of<float>(across, stored_dtype::f32, part) == turned, "across rows");
  check(elements_of<uint16_t>(straight, stored_dtype::bf16, part) == upper_halves(stored), "converted");
  check(elements_of<uint16_t>(across, stored_dtype::bf16, part) == upper_halves(turned),
        "converted across rows");
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
  check(code_of(64, {0}, {1}).empty(), "an empty view at the end");
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
  for (const auto& [dims, strides] : std::vector<view>{{{25000}, {1}}, {{100, 250}, {1, 100}}})
    for (const stored_dtype type : {stored_dtype::f32, stored_dtype::bf16}) {
      const temporary_file file(std::vector<char>(100000));
      const io::stored_tensor tensor(map(file), stored_dtype::f32, 0, dims, strides);
      file.resize(50000);
      std::string code;
      try {
        elements_of<float>(tensor, type, tensor.size());
      } catch (const error& e) {
        code = e.code;
      }
      check(code == "ERR_EVACLIP_IO", to_string(dims) + " of a file cut short before it is read");
    }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  views_are_read_in_order();
  large_views_are_converted();
  bad_views_are_refused();
  a_file_cut_short_meanwhile_is_an_error();
  return status();
}
