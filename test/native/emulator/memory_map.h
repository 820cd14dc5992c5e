#pragma once
// The allocations of the emulated device, in host memory.

#include <cstddef>
#include <cstdint>

namespace eva::emulator {

enum class memory_kind { device, managed, pinned };

inline constexpr int64_t device_bytes = int64_t(4) << 30;

/// Aligned to 256 bytes and of exactly this size, followed by AddressSanitizer's red zone; null if the device
/// has no more.
void* allocate(memory_kind kind, size_t bytes);
void free_allocation(void* memory);

int64_t free_device_bytes();
/// Memory that is not an allocation, such as that of a captured graph.
void reserve_device_bytes(int64_t bytes);

/// Whether all of the bytes are the device's (or managed), or page-locked (or managed).
bool is_on_device(const void* from, size_t bytes);
bool is_pinned(const void* from, size_t bytes);

}  // namespace eva::emulator
