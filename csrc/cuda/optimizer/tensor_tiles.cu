#include <algorithm>

#include "cuda/optimizer/tensor_tiles.h"

namespace eva::cuda {

using namespace device;

tensor_tiles::tensor_tiles(std::vector<update_tensor> tensors) : host_tensors_(std::move(tensors)) {
  for (size_t i = 0; i < host_tensors_.size(); ++i) {
    host_tensors_[i].first_tile = int(host_tiles_.size());
    for (int64_t begin = 0; begin < host_tensors_[i].count; begin += tile_elements)
      host_tiles_.push_back({int(i), begin});
  }
  tensors_ = buffer(std::max<size_t>(1, host_tensors_.size()) * sizeof(update_tensor));
  tiles_ = buffer(std::max<size_t>(1, host_tiles_.size()) * sizeof(update_tile));
}

void tensor_tiles::refresh(std::vector<update_tensor> tensors, context& c) {
  bool same = is_uploaded_;
  for (size_t i = 0; i < tensors.size(); ++i) {
    tensors[i].first_tile = host_tensors_[i].first_tile;
    const update_tensor &current = tensors[i], &previous = host_tensors_[i];
    same = same && current.parameter == previous.parameter && current.gradient == previous.gradient &&
           current.first_moment == previous.first_moment && current.second_moment == previous.second_moment;
  }
  if (same) return;
  std::copy(tensors.begin(), tensors.end(), host_tensors_.begin());
  upload(tensors_.data(), host_tensors_.data(), host_tensors_.size() * sizeof(update_tensor), c.stream);
  upload(tiles_.data(), host_tiles_.data(), host_tiles_.size() * sizeof(update_tile), c.stream);
  is_uploaded_ = true;
}

}  // namespace eva::cuda
