#include "napi/input_memory.h"

#include <algorithm>

namespace eva::napi {
namespace {

/// The most that one inference call copies.
constexpr size_t most_spare_bytes = size_t{64} << 20;
/// malloc reuses smaller blocks itself.
constexpr size_t least_spare_block = size_t{128} << 10;

}  // namespace

// Capacity for the largest possible number of blocks, so that keep(), which runs in a deleter, cannot throw.
input_memory::input_memory() { spare_->blocks.reserve(most_spare_bytes / least_spare_block + 1); }

void input_memory::spare::keep(block given) noexcept {
  if (given.bytes < least_spare_block || given.bytes > most_spare_bytes) return;
  bytes += given.bytes;
  blocks.push_back(std::move(given));
  while (bytes > most_spare_bytes) remove(blocks.begin());
}

input_memory::block input_memory::spare::remove(std::vector<block>::iterator at) {
  block removed = std::move(*at);
  blocks.erase(at);
  bytes -= removed.bytes;
  return removed;
}

std::shared_ptr<std::byte[]> input_memory::take(size_t bytes) {
  auto& blocks = spare_->blocks;
  const auto found =
      std::find_if(blocks.begin(), blocks.end(), [&](const block& b) { return b.bytes == bytes; });
  auto data =
      found != blocks.end() ? spare_->remove(found).data : std::unique_ptr<std::byte[]>(new std::byte[bytes]);
  return {data.release(), [bytes, to = spare_](std::byte* used) {
            to->keep({std::unique_ptr<std::byte[]>(used), bytes});
          }};
}

void input_memory::clear() {
  spare_->blocks.clear();
  spare_->bytes = 0;
}

}  // namespace eva::napi
