// Patch rows, their projection, class token and positions, and the gradients.
#include "ops/patch_embed.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

constexpr int64_t batch = 3, grid = 3;

void test_patch_rows(dtype type, int64_t size, bool bytes, bool dropped, int64_t padding) {
  const int64_t side = grid * size;
  std::mt19937 random(1);
  std::vector<uint8_t> pixels(size_t(batch * side * side * 3));
  for (uint8_t& p : pixels) p = uint8_t(random());
  buffer planes(dtype::f32, {batch, 3, side, side}, random, 1);
  std::vector<int32_t> kept{1, 8, 0, 4, 5, 7};
  ops::patch_rows::args a{.images = bytes ? view(pixels, {batch, side, side, 3}) : tensor(planes),
                          .kept = {},
                          .y = {},
                          .patch_size = size,
                          .mean = {0.48f, 0.45f, 0.40f},
                          .std = {0.26f, 0.27f, 0.28f},
                          .type = type,
                          .padding = padding};
  if (dropped) a.kept = view(kept, {batch, 2});
  agree<ops::patch_rows>(a,
                         "patch_rows of " + std::to_string(size) + (bytes ? " bytes" : " floats") + " and " +
                             std::to_string(padding) + " zeros",
                         {.f32 = 1e-6});
}

void test_positions(dtype type, int64_t columns, bool dropped) {
  std::mt19937 random(2);
  std::vector<int32_t> kept{1, 8, 0, 4, 0, 8};
  const int64_t patches = dropped ? 2 : grid * grid;
  const tensor kept_view = dropped ? view(kept, {batch, patches}) : tensor{};
  buffer x(type, {batch, patches, columns}, random, 1), dy(type, {batch, 1 + patches, columns}, random, 1);
  buffer class_token(dtype::f32, {1, 1, columns}, random, 1);
  buffer positions(dtype::f32, {1, 1 + grid * grid, columns}, random, 1);
  const std::string what = "add_positions of " + std::to_string(columns) + (dropped ? ", dropped" : "");
  agree<ops::add_positions>(
      {.x = x, .class_token = class_token, .positions = positions, .kept = kept_view, .y = {}}, what,
      {.f32 = 0, .bf16 = 0});
  const ops::add_positions_backward::args backward{.dy = dy,
                                                   .class_token = class_token,
                                                   .positions = positions,
                                                   .kept = kept_view,
                                                   .dx = {},
                                                   .dclass_token = {},
                                                   .dpositions = {}};
  agree<ops::add_positions_backward>(backward, what + ", backward", {.f32 = 1e-6, .bf16 = 0});
  agree<ops::add_positions_backward>(backward, what + ", dx alone",
                                     {.bf16 = 0, .unread = {"dclass_token", "dpositions"}});
  agree<ops::add_positions_backward>(backward, what + ", no dx", {.f32 = 1e-6, .unread = {"dx"}});
}

/// The CPU sums in f64 and rounds once; both floats adjacent to the true value are allowed.
void test_projection(int64_t rows, int64_t columns, int64_t inner, bool with_bias) {
  std::mt19937 random(3);
  buffer x(dtype::f32, {rows, inner}, random, 1), weight(dtype::f32, {columns, inner}, random, 0.02f);
  buffer bias(dtype::f32, {columns}, random, 1);
  ops::patch_projection::args a{.x = x, .weight = weight, .bias = {}, .y = {}};
  if (with_bias) a.bias = bias;
  agree<ops::patch_projection>(a, "patch_projection of " + std::to_string(inner), {.f32 = 3e-8});
}

/// A patch outside the grid gives NaN.
void test_outside() {
  std::vector<int32_t> kept{0, 9};
  buffer x(dtype::f32, {1, 2, 4}, 1), class_token(dtype::f32, {4}, 1), positions(dtype::f32, {10, 4}, 1);
  buffer y(dtype::f32, {1, 3, 4});
  cuda::run<ops::add_positions>(
      {.x = x, .class_token = class_token, .positions = positions, .kept = view(kept, {1, 2}), .y = y},
      device_context());
  cuda::device::synchronize(device_context().stream);
  for (int64_t i = 0; i < 12; ++i) check(i < 8 ? y[i] == 2 : std::isnan(y[i]), "add_positions outside");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  for (const bool dropped : {false, true})
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16}) {
      for (const int64_t size : {4, 7, 8, 14, 16, 32})
        for (const bool bytes : {false, true})
          for (const int64_t padding : {0, 3, 24, 52}) test_patch_rows(type, size, bytes, dropped, padding);
      for (const int64_t columns : {24, 45}) test_positions(type, columns, dropped);
    }
  test_projection(5, 3, 7, true);
  test_projection(67, 70, 50, false);
  test_projection(4, 9, 588, true);
  test_outside();
  return status();
}
