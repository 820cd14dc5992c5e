#include "algorithm.h"

#include <algorithm>
#include <cstring>

namespace eva::cublaslt_stand_in {
namespace {

using emulator::stream;

/// The widest access of an algorithm.
constexpr uint32_t widest = 16;
constexpr uint64_t algorithm_magic = 0x6576615f616c676f;

uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address);
  return bits % widest == 0 ? widest : uint32_t(bits & -bits);
}

bool overlap(const void* one, int64_t bytes, const void* other, int64_t other_bytes) {
  const auto first = reinterpret_cast<uintptr_t>(one), second = reinterpret_cast<uintptr_t>(other);
  return first < second + uintptr_t(other_bytes) && second < first + uintptr_t(bytes);
}

}  // namespace

algorithm choose(const product& p, const description& how, const preferences& within, int number) {
  algorithm chosen{};
  chosen.magic = algorithm_magic;
  chosen.product = p.hash();
  chosen.workspace_bytes = number == 0 ? std::min<uint64_t>(within.workspace_bytes, 4096) : 0;
  for (int i = 0; i < 4; ++i) chosen.alignments[i] = std::min(within.alignments[i], widest);
  chosen.alignments[4] = alignment_of(how.bias);
  const uint32_t in_order = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  chosen.sums_in_order = (within.reduction_schemes & ~in_order) == 0 || number > 0;
  return chosen;
}

algorithm algorithm_for(const product& p, const cublasLtMatmulAlgo_t* given) {
  require(given != nullptr, "there is no algorithm");
  algorithm chosen{};
  std::memcpy(&chosen, given, sizeof chosen);
  require(chosen.magic == algorithm_magic, "the algorithm is not of this library");
  require(chosen.product == p.hash(), "the algorithm was chosen for another product",
          CUBLAS_STATUS_NOT_SUPPORTED);
  return chosen;
}

void check_operand(const stream& on, const void* data, int64_t bytes, uint32_t alignment, const char* name) {
  require(data != nullptr, std::string(name) + " is null");
  require(reinterpret_cast<uintptr_t>(data) % alignment == 0,
          std::string(name) + " is less aligned than its algorithm expects");
  require(on.can_access(data, size_t(bytes)), std::string(name) + " is not all in device memory");
}

void check_operands(const stream& on, const product& p, const operands& all, const algorithm& with) {
  const auto bytes = [](const matrix& m) { return m.span() * bytes_of(m.type); };
  check_operand(on, all.a, bytes(p.a), with.alignments[0], "A");
  check_operand(on, all.b, bytes(p.b), with.alignments[1], "B");
  if (all.beta != 0) check_operand(on, all.c, bytes(p.c), with.alignments[2], "C");
  check_operand(on, all.d, bytes(p.d), with.alignments[3], "D");
  if (p.has_bias)
    check_operand(on, all.bias, p.d.rows * bytes_of(p.bias_type), with.alignments[4], "the bias");
  const auto is_apart = [&](const void* from, int64_t size) {
    return !overlap(from, size, all.d, bytes(p.d));
  };
  require(is_apart(all.a, bytes(p.a)) && is_apart(all.b, bytes(p.b)), "D overlaps A or B");
  const bool in_place = all.c == all.d && p.c.stride == p.d.stride && p.c.batch_stride == p.d.batch_stride;
  require(all.beta == 0 || in_place || is_apart(all.c, bytes(p.c)), "D overlaps a C of another layout");
}

}  // namespace eva::cublaslt_stand_in
