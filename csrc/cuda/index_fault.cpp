#include "cuda/index_fault.h"

#include <cstring>
#include <string>

#include "core/error.h"
#include "cuda/device/runtime.h"

namespace eva::cuda {
namespace {

const index_fault none{};

std::string expectation(const index_rule& rule) {
  if (rule.longest == 0) return "0 … " + std::to_string(rule.count - 1);
  return "ascending starts from 0 to at most " + std::to_string(rule.count) + ", in steps of at most " +
         std::to_string(rule.longest);
}

[[noreturn]] void fail(const index_fault& fault) {
  const index_rule& rule = fault.rules[fault.first >> 62];
  const uint64_t place = fault.first >> 32 & ((uint64_t(1) << 30) - 1);
  const std::string actual = std::to_string(int32_t(uint32_t(fault.first))), expected = expectation(rule);
  throw data_error(std::string(fault.op) + ": " + rule.field + "[" + std::to_string(place) + "] is " +
                       actual + "; expected " + expected,
                   {{"op", fault.op}, {"field", rule.field}, {"expected", expected}, {"actual", actual}});
}

}  // namespace

index_faults::index_faults() : fetched_(std::make_shared<device::pinned_buffer>(sizeof(index_fault))) {
  clear({});
  device::synchronize({});
}

void index_faults::fetch(device::stream on) {
  device::download(fetched_->data(), memory_.data(), sizeof(index_fault), on);
}

void index_faults::check(device::stream on) {
  index_fault found;
  std::memcpy(&found, fetched_->data(), sizeof found);
  if (found.owner == 0) return;
  clear(on);
  fail(found);
}

void index_faults::clear(device::stream on) { device::upload(memory_.data(), &none, sizeof none, on); }

}  // namespace eva::cuda
