#pragma once

#include <vector>

#include "cuda/context.h"

namespace eva::cuda {

/// What a kernel knows of one of an update's tensors.
struct update_tensor {
  float *parameter, *first_moment, *second_moment;
  const float* gradient;
  int64_t count;
  int first_tile;  // its tiles are consecutive
  float weight_decay, adapt;
};

/// A part of a tensor, which a block takes.
struct update_tile {
  int tensor;
  int64_t begin;
};
inline constexpr int64_t tile_elements = 8192;

/// Many tensors as one list of tiles in device memory, so that hundreds of small ones cost no more than a
/// large one. Sent again when an address has changed.
class tensor_tiles {
 public:
  /// Fills in every tensor's first tile.
  explicit tensor_tiles(std::vector<update_tensor> tensors);

  /// The tensors as they are now; their counts must be those given first.
  void refresh(std::vector<update_tensor> tensors, context& c);

  int tensors() const { return int(host_tensors_.size()); }
  int tiles() const { return int(host_tiles_.size()); }
  const update_tensor* device_tensors() const { return static_cast<const update_tensor*>(tensors_.data()); }
  const update_tile* device_tiles() const { return static_cast<const update_tile*>(tiles_.data()); }

 private:
  // They stay, because a captured program that sends them reads them each time.
  std::vector<update_tensor> host_tensors_;
  std::vector<update_tile> host_tiles_;
  device::buffer tensors_, tiles_;
  bool sent_ = false;
};

}  // namespace eva::cuda
