#pragma once

#include <vector>

#include "cuda/kernel.h"
#include "ops/optimizer.h"

namespace eva::cuda {

/// What a kernel knows of one of an update's tensors.
struct update_tensor {
  float *parameter, *first_moment, *second_moment;
  const float* gradient;
  int64_t count;
  int first_tile;  // its tiles are consecutive
  float learning_rate, weight_decay, adapt;
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

/// The plan of an op that reads or updates lists of tensors.
template <class Op> struct tiled_plan {
  tiled_plan(const typename Op::args& a, context& c);
  void run(context& c);

 private:
  const typename Op::args& args_;
  tensor_tiles tiles_;
};

template <> struct plan<ops::global_norm> : tiled_plan<ops::global_norm> { using tiled_plan::tiled_plan; };
template <> struct plan<ops::lamb_update> : tiled_plan<ops::lamb_update> { using tiled_plan::tiled_plan; };
template <> struct plan<ops::adamw_update> : tiled_plan<ops::adamw_update> { using tiled_plan::tiled_plan; };
template <> struct plan<ops::clamp_update> : tiled_plan<ops::clamp_update> { using tiled_plan::tiled_plan; };

}  // namespace eva::cuda
