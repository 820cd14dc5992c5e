#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace eva::napi {

/// Pool of buffers for copies of inputs. Buffers are reused because faulting in fresh pages takes several
/// times as long as the copy itself, and both block the event loop. Not thread-safe.
class input_memory {
 public:
  input_memory();

  /// An uninitialized buffer, which returns to the pool when its last reference is dropped.
  std::shared_ptr<std::byte[]> take(size_t bytes);

  /// Frees the buffers that are not in use.
  void clear();

 private:
  struct block {
    std::unique_ptr<std::byte[]> data;
    size_t bytes;
  };
  struct spare {
    std::vector<block> blocks;  // the most recently released last
    size_t bytes = 0;
    void keep(block given) noexcept;
    block remove(std::vector<block>::iterator at);
  };

  // Outlives this object while buffers are in use.
  std::shared_ptr<spare> spare_ = std::make_shared<spare>();
};

}  // namespace eva::napi
