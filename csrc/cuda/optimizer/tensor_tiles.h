#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "cuda/context.h"
#include "cuda/device/runtime.h"

namespace eva::cuda {

/// A tensor of an update, as kernels see it.
struct update_tensor {
  float *parameter, *first_moment, *second_moment;
  const float* gradient;
  void* copy;  // bf16, of the parameter; may be null
  int64_t count;
  int first_tile;  // the number of tiles of earlier tensors
  float weight_decay, adapt;
};

/// The part of a tensor that one block processes.
struct update_tile {
  int tensor, pass;
  int64_t begin;
};

/// A thread of 256 processes two groups of four elements: blocks are short, so that little more than
/// `group_elements` is in flight on a GPU, and have about 64 KiB of loads in flight per SM.
inline constexpr int64_t tile_elements = 2048;

/// Two passes follow each other in groups of tensors of this size, if tensors are not larger: the first pass
/// reads and writes 12 bytes per element that the second one reads from L2. While a group waits for its sums,
/// the first pass of the next one runs, so 24 MiB are in use, about half of an H100's L2.
inline constexpr int64_t group_elements = 1 << 20;

/// A list in device memory, and its copy on the host: pinned, because a captured program that uploads it
/// reads it at every replay.
template <class T> struct uploaded_list {
  explicit uploaded_list(int64_t size)
      : host(std::make_unique<device::pinned_buffer>(bytes_of(size))), memory(bytes_of(size)), count(size) {}

  std::span<T> on_host() const { return {static_cast<T*>(host->data()), size_t(count)}; }
  const T* on_device() const { return static_cast<const T*>(memory.data()); }
  void upload(context& c) const {
    device::upload(memory.data(), host->data(), size_t(count) * sizeof(T), c.stream);
  }

 private:
  static size_t bytes_of(int64_t size) { return size_t(std::max<int64_t>(1, size)) * sizeof(T); }

  std::unique_ptr<device::pinned_buffer> host;
  device::buffer memory;
  int64_t count;
};

/// Many tensors as one list of tiles in device memory, so that one launch covers hundreds of small tensors.
class tensor_tiles {
 public:
  /// Sets every tensor's first_tile. With two passes each tile is listed twice, always in an order in which
  /// the second pass of a tensor comes after the first.
  explicit tensor_tiles(const std::vector<update_tensor>& tensors, int passes = 1);

  /// Uploads the lists if an address has changed. The counts must be those of the constructor.
  void refresh(std::vector<update_tensor> tensors, context& c);

  int tensors() const { return int(tensors_.on_host().size()); }
  /// The length of the list.
  int tiles() const { return int(tiles_.on_host().size()); }
  const update_tensor* device_tensors() const { return tensors_.on_device(); }
  const update_tile* device_tiles() const { return tiles_.on_device(); }

 private:
  tensor_tiles(const std::vector<update_tensor>& tensors, const std::vector<update_tile>& tiles);

  uploaded_list<update_tensor> tensors_;
  uploaded_list<update_tile> tiles_;
  bool is_uploaded_ = false;
};

}  // namespace eva::cuda
