#include "watched_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "block.h"

// AddressSanitizer's interface. The kernels are compiled so that they call a function for each access instead
// of checking it inline (--param asan-instrumentation-with-call-threshold=0); here these functions also check
// watched memory.
extern "C" {
int __asan_address_is_poisoned(const volatile void* address);
void* __asan_region_is_poisoned(void* begin, size_t bytes);
void __asan_report_load_n(uintptr_t address, size_t bytes);
void __asan_report_store_n(uintptr_t address, size_t bytes);
__attribute__((weak)) void __sanitizer_print_stack_trace();
}

namespace eva::emulator {
namespace {

constexpr int nobody = -1, several_blocks = -2;

/// An element.
struct granule {
  uint32_t write_launch = 0, read_launch = 0;
  int writer = nobody, reader = nobody;
  bool written = false, has_value = false;
  uint32_t value = 0;  // when it was last read
};

struct region {
  uintptr_t begin, end;
  size_t element_bytes;
  std::vector<granule> granules;
};

std::vector<region> regions;  // by address
uintptr_t lowest = ~uintptr_t(0), highest = 0;
uint32_t launch_number = 0;
// The block that has waited for others in this launch. Blocks run one after another, so it is the running
// one.
uint32_t acquired_launch = 0;
int acquired_block = nobody;
std::string failure;

region* region_of(uintptr_t address) {
  const auto after = std::upper_bound(regions.begin(), regions.end(), address,
                                      [](uintptr_t at, const region& r) { return at < r.begin; });
  if (after == regions.begin() || address >= (after - 1)->end) return nullptr;
  return &*(after - 1);
}

void fail(const std::string& what, const region& in, uintptr_t address) {
  if (!failure.empty()) return;
  if (print_stack_traces && __sanitizer_print_stack_trace) __sanitizer_print_stack_trace();
  failure = "block " + std::to_string(current().block_index()) + ", thread " +
            std::to_string(current().thread_index()) + " " + what + " byte " +
            std::to_string(address - in.begin) + " of " + std::to_string(in.end - in.begin) +
            " in global memory";
}

/// Whether another block of this launch did it, and nothing orders that before what this block does.
bool is_others(uint32_t launch, int by, int block) {
  return launch == launch_number && by != block &&
         !(acquired_launch == launch_number && acquired_block == block);
}

/// The compiler calls no function for a write that follows a read of the same address: such a write is known
/// by the changed value, and was made by the last reader.
void find_unseen_write(granule& g, uint32_t value, const region& in, uintptr_t at) {
  const bool changed = g.has_value && value != g.value;
  g.value = value;
  g.has_value = true;
  if (!changed) return;
  g.written = true;
  if (g.read_launch != launch_number) return;
  if (g.reader == several_blocks)
    fail("accesses what several blocks of this launch read and changed:", in, at);
  g.writer = g.reader;
  g.write_launch = launch_number;
}

void check_read(granule& g, int block, const region& in, uintptr_t at) {
  if (!g.written) return fail("reads uninitialized", in, at);
  if (is_others(g.write_launch, g.writer, block))
    return fail("reads what block " + std::to_string(g.writer) + " of this launch wrote:", in, at);
  g.reader = is_others(g.read_launch, g.reader, block) ? several_blocks : block;
  g.read_launch = launch_number;
}

void check_write(granule& g, int block, const region& in, uintptr_t at) {
  if (is_others(g.write_launch, g.writer, block))
    return fail("writes what block " + std::to_string(g.writer) + " of this launch wrote:", in, at);
  if (is_others(g.read_launch, g.reader, block))
    return fail("writes what another block of this launch read:", in, at);
  g.writer = block;
  g.write_launch = launch_number;
  g.written = true;
  g.has_value = false;
}

/// The granules of a region from an address on.
template <class Body> void for_each_granule(region& in, uintptr_t address, size_t bytes, const Body& body) {
  const size_t first = (address - in.begin) / in.element_bytes,
               last = (std::min(address + bytes, in.end) - 1 - in.begin) / in.element_bytes;
  for (size_t i = first; i <= last; ++i) body(in.granules[i], in.begin + i * in.element_bytes);
}

void check(uintptr_t address, size_t bytes, bool writes) {
  region* in = region_of(address);
  if (!in || !running()) return;
  const int block = running()->block_index();
  for_each_granule(*in, address, bytes, [&](granule& g, uintptr_t at) {
    uint32_t value = 0;
    std::memcpy(&value, reinterpret_cast<const void*>(at), in->element_bytes);
    find_unseen_write(g, value, *in, at);
    (writes ? check_write : check_read)(g, block, *in, at);
  });
}

}  // namespace

void watch(const void* memory, size_t bytes, size_t element_bytes, bool initialized) {
  if (bytes == 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  region added{begin, begin + bytes, element_bytes, std::vector<granule>(bytes / element_bytes)};
  for (granule& each : added.granules) each.written = initialized;
  const auto after = std::upper_bound(regions.begin(), regions.end(), begin,
                                      [](uintptr_t at, const region& r) { return at < r.begin; });
  regions.insert(after, std::move(added));
  lowest = std::min(lowest, begin);
  highest = std::max(highest, begin + bytes);
}

void acquire() {
  acquired_launch = launch_number;
  acquired_block = current().block_index();
}

void end_watch() {
  regions.clear();
  lowest = ~uintptr_t(0);
  highest = 0;
}

void mark_written(const void* memory, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  region* in = bytes ? region_of(address) : nullptr;
  if (!in) return;
  for_each_granule(*in, address, bytes, [](granule& g, uintptr_t) {
    g.written = true;
    g.has_value = false;
  });
}

void begin_watched_launch() { ++launch_number; }

void expect_watched() {
  if (failure.empty()) return;
  const std::string found = std::move(failure);
  failure.clear();
  throw error(found);
}

}  // namespace eva::emulator

namespace {

/// Not thrown from here: the compiler expects that these functions do not throw.
template <bool Writes> __attribute__((no_sanitize("address"))) void access(uintptr_t address, size_t bytes) {
  const auto shadow = *reinterpret_cast<const signed char*>((address >> 3) + 0x7fff8000);
  const bool is_whole = shadow == 0 && (address & 7) + bytes <= 8;
  if (!is_whole && __asan_region_is_poisoned(reinterpret_cast<void*>(address), bytes))
    (Writes ? __asan_report_store_n : __asan_report_load_n)(address, bytes);
  if (address >= eva::emulator::lowest && address < eva::emulator::highest)
    eva::emulator::check(address, bytes, Writes);
}

}  // namespace

extern "C" {
void __asan_load1(uintptr_t address) { access<false>(address, 1); }
void __asan_load2(uintptr_t address) { access<false>(address, 2); }
void __asan_load4(uintptr_t address) { access<false>(address, 4); }
void __asan_load8(uintptr_t address) { access<false>(address, 8); }
void __asan_load16(uintptr_t address) { access<false>(address, 16); }
void __asan_loadN(uintptr_t address, size_t bytes) { access<false>(address, bytes); }
void __asan_store1(uintptr_t address) { access<true>(address, 1); }
void __asan_store2(uintptr_t address) { access<true>(address, 2); }
void __asan_store4(uintptr_t address) { access<true>(address, 4); }
void __asan_store8(uintptr_t address) { access<true>(address, 8); }
void __asan_store16(uintptr_t address) { access<true>(address, 16); }
void __asan_storeN(uintptr_t address, size_t bytes) { access<true>(address, bytes); }
}
