#pragma once

#include <cstdio>
#include <exception>
#include <functional>
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

/// The message of the exception that `body` throws; empty if it throws none.
inline std::string failure_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

/// Returns main's exit status.
inline int status() {
  std::printf(failures ? "%d failures\n" : "ok\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace eva::test
