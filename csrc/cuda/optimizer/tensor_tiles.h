#pragma once

#include <vector>

#include "cuda/context.h"

namespace eva::cuda {

/// A tensor of an update, as kernels see it.
struct update_tensor {
  float *parameter, *first_moment, *second_moment;
  const float* gradient;
  int64_t count;
  int first_tile;  // a tensor's tiles are consecutive
  float weight_decay, adapt;
};

/// The part of a tensor that one block processes.
struct update_tile {
  int tensor;
  int64_t begin;
};
inline constexpr int64_t tile_elements = 8192;

/// Many tensors as one list of tiles in device memory, so that one launch covers hundreds of small tensors.
class tensor_tiles {
 public:
  /// Sets every tensor's first_tile.
  explicit tensor_tiles(std::vector<update_tensor> tensors);

  /// Uploads the lists if an address has changed. The counts must be those of the constructor.
  void refresh(std::vector<update_tensor> tensors, context& c);

  int tensors() const { return int(host_tensors_.size()); }
  int tiles() const { return int(host_tiles_.size()); }
  const update_tensor* device_tensors() const { return static_cast<const update_tensor*>(tensors_.data()); }
  const update_tile* device_tiles() const { return static_cast<const update_tile*>(tiles_.data()); }

 private:
  // Must outlive the upload: a captured program that uploads them reads them at every replay.
  std::vector<update_tensor> host_tensors_;
  std::vector<update_tile> host_tiles_;
  device::buffer tensors_, tiles_;
  bool is_uploaded_ = false;
};

}  // namespace eva::cuda
