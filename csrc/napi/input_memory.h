#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace eva::napi {

/// Memory for copies of inputs. What earlier copies were in is used again: pages that the system gives anew
/// cost several times what copying into them does, and the event loop waits for both. Of one thread.
class input_memory {
 public:
  input_memory();

  /// So many bytes of any content. With the last reference they come back here.
  std::shared_ptr<std::byte[]> take(size_t bytes);

  /// Gives back what no copy is in.
  void clear();

 private:
  struct block {
    std::unique_ptr<std::byte[]> data;
    size_t bytes;
  };
  struct spare {
    std::vector<block> blocks;  // the one that came back last is the last
    size_t bytes = 0;
    void keep(block given) noexcept;
    block remove(std::vector<block>::iterator at);
  };

  // Outlives this object while copies are in use.
  std::shared_ptr<spare> spare_ = std::make_shared<spare>();
};

}  // namespace eva::napi
