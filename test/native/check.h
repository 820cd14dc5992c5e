#pragma once

#include <cstdio>
#include <string>

namespace eva::test {

/// AddressSanitizer maps terabytes of address space, which no limit of it may forbid.
#ifdef __SANITIZE_ADDRESS__
constexpr bool address_space_can_be_limited = false;
#else
constexpr bool address_space_can_be_limited = true;
#endif

inline int failures = 0;

inline void check(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what.c_str());
  std::fflush(stdout);  // a later case may end the process
  ++failures;
}

/// main's exit status.
inline int status() {
  std::printf(failures ? "%d failures\n" : "ok\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace eva::test
