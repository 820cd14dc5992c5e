#include <algorithm>

#include "cuda/optimizer/tensor_tiles.h"

namespace eva::cuda {

using namespace device;

namespace {

/// The tiles of tensors begin … end - 1, appended to a list.
void list_tiles(const std::vector<update_tensor>& tensors, size_t begin, size_t end, int pass,
                std::vector<update_tile>& list) {
  for (size_t i = begin; i < end; ++i)
    for (int64_t first = 0; first < tensors[i].count; first += tile_elements)
      list.push_back({int(i), pass, first});
}

/// The first pass of each group, and after it the second pass of the group before.
std::vector<update_tile> tiles_of(const std::vector<update_tensor>& tensors, int passes) {
  std::vector<update_tile> list;
  size_t previous = 0, begin = 0;
  while (begin < tensors.size()) {
    size_t end = begin + 1;
    int64_t size = tensors[begin].count;
    for (; end < tensors.size() && size + tensors[end].count <= group_elements; ++end)
      size += tensors[end].count;
    list_tiles(tensors, begin, end, 0, list);
    if (passes == 2) list_tiles(tensors, previous, begin, 1, list);
    previous = begin;
    begin = end;
  }
  if (passes == 2) list_tiles(tensors, previous, begin, 1, list);
  return list;
}

}  // namespace

tensor_tiles::tensor_tiles(const std::vector<update_tensor>& tensors, const std::vector<update_tile>& tiles)
    : tensors_(int64_t(tensors.size())), tiles_(int64_t(tiles.size())) {
  std::copy(tensors.begin(), tensors.end(), tensors_.on_host().begin());
  std::copy(tiles.begin(), tiles.end(), tiles_.on_host().begin());
  int tile = 0;
  for (update_tensor& each : tensors_.on_host()) {
    each.first_tile = tile;
    tile += int((each.count + tile_elements - 1) / tile_elements);
  }
}

tensor_tiles::tensor_tiles(const std::vector<update_tensor>& tensors, int passes)
    : tensor_tiles(tensors, tiles_of(tensors, passes)) {}

void tensor_tiles::refresh(std::vector<update_tensor> tensors, context& c) {
  bool same = is_uploaded_;
  const std::span<update_tensor> sent = tensors_.on_host();
  for (size_t i = 0; i < tensors.size(); ++i) {
    tensors[i].first_tile = sent[i].first_tile;
    const update_tensor &current = tensors[i], &previous = sent[i];
    same = same && current.parameter == previous.parameter && current.gradient == previous.gradient &&
           current.first_moment == previous.first_moment && current.second_moment == previous.second_moment &&
           current.copy == previous.copy;
  }
  if (same) return;
  std::copy(tensors.begin(), tensors.end(), sent.begin());
  tensors_.upload(c);
  tiles_.upload(c);
  is_uploaded_ = true;
}

}  // namespace eva::cuda
