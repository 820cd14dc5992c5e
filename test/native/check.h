#pragma once

#include <cstdio>
#include <string>

namespace eva::test {

/// AddressSanitizer maps terabytes, so the address space cannot be limited.
#ifdef __SANITIZE_ADDRESS__
constexpr bool address_space_can_be_limited = false;
#else
constexpr bool address_space_can_be_limited = true;
#endif

inline int failures = 0;

inline void check(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what.c_str());
  std::fflush(stdout);  // a later case may crash the process
  ++failures;
}

/// Returns main's exit status.
inline int status() {
  std::printf(failures ? "%d failures\n" : "ok\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace eva::test
