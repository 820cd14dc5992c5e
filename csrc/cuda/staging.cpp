#include "cuda/staging.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <future>

namespace eva::cuda {
namespace {

int64_t parts_of(int64_t bytes) { return (bytes + staging::slot_bytes - 1) / staging::slot_bytes; }

}  // namespace

void staging::fill_part(const upload& all, int64_t part, slot& via) {
  const int64_t begin = part * slot_bytes;
  const int64_t end = std::min(begin + slot_bytes, all.bytes);
  via.copied.wait();
  all.produce(begin, end, static_cast<std::byte*>(via.memory.data()));
  device::upload(all.memory + begin, via.memory.data(), size_t(end - begin), all.on);
  via.copied.record(all.on);
}

void staging::fill_parts(const upload& all, int lane, std::atomic<int64_t>& next_part) {
  const int64_t parts = parts_of(all.bytes);
  for (int own_slot = 0;; own_slot ^= 1) {
    const int64_t part = next_part.fetch_add(1);
    if (part >= parts) return;
    fill_part(all, part, (*slots_)[size_t(2 * lane + own_slot)]);
  }
}

void staging::fill(void* memory, int64_t bytes, const backend::producer& produce, device::stream on) {
  const upload all{static_cast<std::byte*>(memory), bytes, produce, on};
  const int64_t parts = parts_of(bytes);
  if (parts <= lanes) {
    for (int64_t part = 0; part < parts; ++part) fill_part(all, part, next());
    return;
  }
  slots();
  const int device = device::current_device();
  std::atomic<int64_t> next_part = 0;
  std::array<std::future<void>, size_t(lanes - 1)> others;
  for (int lane = 1; lane < lanes; ++lane)
    others[size_t(lane - 1)] = std::async(std::launch::async, [&, lane] {
      device::select_device(device);
      fill_parts(all, lane, next_part);
    });
  fill_parts(all, 0, next_part);
  for (std::future<void>& other : others) other.get();
}

void staging::read(void* host, const void* memory, int64_t bytes, device::stream on) {
  try {
    if (!read_small(host, memory, bytes, on)) read_large(host, memory, bytes, on);
  } catch (...) {
    small_reads_.clear();  // the caller gives up the memory that they would be copied to
    throw;
  }
}

bool staging::read_small(void* host, const void* memory, int64_t bytes, device::stream on) {
  constexpr int64_t alignment = 64;
  if (!results_) results_ = std::make_unique<device::pinned_buffer>(size_t(results_bytes));
  auto* all = static_cast<std::byte*>(results_->data());
  int64_t used = 0;
  if (!small_reads_.empty()) used = small_reads_.back().pinned - all + int64_t(small_reads_.back().bytes);
  used = (used + alignment - 1) / alignment * alignment;
  if (used + bytes > results_bytes) return false;
  device::download(all + used, memory, size_t(bytes), on);
  small_reads_.push_back({host, all + used, size_t(bytes)});
  return true;
}

void staging::read_large(void* host, const void* memory, int64_t bytes, device::stream on) {
  const int64_t parts = parts_of(bytes);
  const auto ahead = int64_t(std::tuple_size_v<ring>) - 1;
  std::array<slot*, std::tuple_size_v<ring>> slot_of_part{};
  const auto size_of_part = [&](int64_t part) {
    return size_t(std::min(slot_bytes, bytes - part * slot_bytes));
  };
  for (int64_t part = 0; part < parts + ahead; ++part) {
    if (part < parts) {
      slot& via = next();
      via.copied.wait();
      device::download(via.memory.data(), static_cast<const std::byte*>(memory) + part * slot_bytes,
                       size_of_part(part), on);
      via.copied.record(on);
      slot_of_part[size_t(part) % slot_of_part.size()] = &via;
    }
    const int64_t arrived = part - ahead;
    if (arrived < 0 || arrived >= parts) continue;
    slot& via = *slot_of_part[size_t(arrived) % slot_of_part.size()];
    via.copied.wait();
    std::memcpy(static_cast<std::byte*>(host) + arrived * slot_bytes, via.memory.data(),
                size_of_part(arrived));
  }
}

}  // namespace eva::cuda
