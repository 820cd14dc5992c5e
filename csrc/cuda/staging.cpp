#include "cuda/staging.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace eva::cuda {

void staging::write(void* memory, const void* host, int64_t bytes, device::stream on) {
  for (int64_t done = 0; done < bytes; done += slot_bytes) {
    const auto part = size_t(std::min(slot_bytes, bytes - done));
    slot& through = next();
    through.copied.wait();
    std::memcpy(through.memory.data(), static_cast<const std::byte*>(host) + done, part);
    device::upload(static_cast<std::byte*>(memory) + done, through.memory.data(), part, on);
    through.copied.record(on);
  }
}

void staging::read(void* host, const void* memory, int64_t bytes, device::stream on) {
  const int64_t parts = (bytes + slot_bytes - 1) / slot_bytes;
  const auto ahead = int64_t(slots_.size()) - 1;
  std::array<slot*, std::tuple_size_v<decltype(slots_)>> using_slots{};
  const auto size_of_part = [&](int64_t part) {
    return size_t(std::min(slot_bytes, bytes - part * slot_bytes));
  };
  for (int64_t part = 0; part < parts + ahead; ++part) {
    if (part < parts) {
      slot& through = next();
      through.copied.wait();
      device::download(through.memory.data(), static_cast<const std::byte*>(memory) + part * slot_bytes,
                       size_of_part(part), on);
      through.copied.record(on);
      using_slots[size_t(part) % using_slots.size()] = &through;
    }
    const int64_t arrived = part - ahead;
    if (arrived < 0 || arrived >= parts) continue;
    slot& through = *using_slots[size_t(arrived) % using_slots.size()];
    through.copied.wait();
    std::memcpy(static_cast<std::byte*>(host) + arrived * slot_bytes, through.memory.data(),
                size_of_part(arrived));
  }
}

}  // namespace eva::cuda
