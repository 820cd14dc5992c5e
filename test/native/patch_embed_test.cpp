// Patch rows, class token, positions, and their gradients.
#include "ops/patch_embed.h"

#include "op_test.h"

namespace eva::test {
namespace {

constexpr int64_t batch = 3, side = 42, size = 14, grid = side / size;
const std::vector<float> mean{0.48f, 0.45f, 0.40f}, deviation{0.26f, 0.27f, 0.28f};

void test_patch_rows(backend& on, dtype type, bool bytes, bool dropped, int64_t padding,
                     const std::string& isa) {
  std::mt19937 random(1);
  std::vector<uint8_t> pixels(size_t(batch * side * side * 3));
  for (uint8_t& p : pixels) p = uint8_t(random());
  buffer planes(dtype::f32, {batch, 3, side, side}, random, 1);
  std::vector<int32_t> kept{1, 8, 0, 4, 5, 7};
  const int64_t patches = dropped ? 2 : grid * grid, columns = 3 * size * size;
  buffer y(type, {batch, patches, columns + padding}, 5);
  ops::patch_rows::args a{};
  a.images = bytes ? view(pixels, {batch, side, side, 3}) : tensor(planes);
  if (dropped) a.kept = view(kept, {batch, 2});
  a.y = y;
  a.patch_size = size;
  a.mean = mean;
  a.std = deviation;
  a.padding = padding;
  run<ops::patch_rows>(on, a);

  std::vector<double> expected;
  for (int64_t row = 0; row < batch * patches; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t b = row / patches, patch = dropped ? kept[size_t(row)] : row % patches;
      const int64_t channel = column / (size * size), v = patch / grid * size + column / size % size;
      const int64_t u = patch % grid * size + column % size;
      const double byte = pixels[size_t(((b * side + v) * side + u) * 3 + channel)];
      expected.push_back(bytes ? (byte / 255 - mean[size_t(channel)]) / deviation[size_t(channel)]
                               : planes[((b * 3 + channel) * side + v) * side + u]);
    }
    expected.insert(expected.end(), size_t(padding), 0.0);
    for (int64_t i = 0; i < padding; ++i)
      check(y[(row + 1) * (columns + padding) - 1 - i] == 0, "padding of patch_rows, " + isa);
  }
  check(relative_error(y, expected) < tolerance(type),
        std::string("patch_rows of ") + (bytes ? "bytes" : "floats") + (dropped ? ", dropped, " : ", ") +
            std::to_string(padding) + " zeros, " + isa);
}

/// The row of `positions` of token i of image b, after that of the class token.
int64_t position_of(const std::vector<int32_t>& kept, int64_t b, int64_t i) {
  return 1 + (kept.empty() ? i : kept[size_t(b * 2 + i)]);
}

void test_add_positions(backend& on, dtype type, bool dropped, const std::string& isa) {
  std::mt19937 random(2);
  constexpr int64_t columns = 45;
  std::vector<int32_t> kept = dropped ? std::vector<int32_t>{1, 8, 0, 4, 0, 8} : std::vector<int32_t>{};
  const int64_t patches = dropped ? 2 : grid * grid;
  const tensor kept_view = dropped ? view(kept, {batch, patches}) : tensor{};
  buffer x(type, {batch, patches, columns}, random, 1), class_token(dtype::f32, {1, 1, columns}, random, 1);
  buffer positions(dtype::f32, {1, 1 + grid * grid, columns}, random, 1);
  buffer y(type, {batch, 1 + patches, columns}), dx(type, {batch, patches, columns});
  buffer dclass(dtype::f32, {1, 1, columns}, 5), dpositions(dtype::f32, {1, 1 + grid * grid, columns}, 5);
  run<ops::add_positions>(on, {x, class_token, positions, kept_view, y});
  // Any gradient is suitable: y itself.
  run<ops::add_positions_backward>(on, {y, class_token, positions, kept_view, dx, dclass, dpositions});

  std::vector<double> expected, by_patch, by_class(columns), by_position(size_t(positions.size()));
  for (int64_t i = 0; i < y.size(); ++i) {
    const int64_t b = i / columns / (1 + patches), token = i / columns % (1 + patches), j = i % columns;
    const int64_t position = token == 0 ? 0 : position_of(kept, b, token - 1);
    const double base = token == 0 ? class_token[j] : x[(b * patches + token - 1) * columns + j];
    expected.push_back(base + positions[position * columns + j]);
    by_position[size_t(position * columns + j)] += y[i];
    if (token == 0)
      by_class[size_t(j)] += y[i];
    else
      by_patch.push_back(y[i]);
  }
  check(relative_error(y, expected) < tolerance(type), "add_positions, " + isa);
  check(relative_error(dx, by_patch) == 0, "add_positions dx, " + isa);
  check(relative_error(dclass, by_class) < 1e-6, "add_positions dclass_token, " + isa);
  check(relative_error(dpositions, by_position) < 1e-6, "add_positions dpositions, " + isa);
}

void test_outside(backend& on, const std::string& isa) {
  buffer images(dtype::f32, {1, 3, side, side}), y(dtype::f32, {1, 2, 3 * size * size});
  std::vector<int32_t> kept{0, int32_t(grid * grid)};
  ops::patch_rows::args a{images, view(kept, {1, 2}), y, size, mean, deviation, dtype::f32, 0};
  std::string message;
  try {
    run<ops::patch_rows>(on, a);
  } catch (const data_error& e) {
    message = e.what();
  }
  check(message.find("kept[1] is 9") != std::string::npos, "patch outside: '" + message + "', " + isa);
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
      for (const bool dropped : {false, true}) {
        for (const bool bytes : {false, true})
          for (const int64_t padding : {0, 5, 52}) test_patch_rows(on, type, bytes, dropped, padding, isa);
        test_add_positions(on, type, dropped, isa);
      }
    test_outside(on, isa);
  });
}
