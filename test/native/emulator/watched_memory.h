#pragma once
// Global memory whose accesses by kernels are checked: reads of bytes that nothing has written, and accesses
// of two blocks of a launch to the same bytes, at least one of them writing. Atomic operations are not
// checked.

#include <cstddef>

namespace eva::emulator {

/// Checks accesses from now on. Elements have 1, 2 or 4 bytes.
void watch(const void* memory, size_t bytes, size_t element_bytes, bool initialized);
/// The running block has waited for other blocks: what they wrote before is in order for it.
void acquire();
/// Ends all checks.
void end_watch();

/// What the device writes without a kernel: copies, and the products of cuBLASLt.
void mark_written(const void* memory, size_t bytes);

/// The kernel whose accesses follow is another one than before.
void begin_watched_launch();
/// Throws an emulator::error if a check has failed since the last call.
void expect_watched();

}  // namespace eva::emulator
