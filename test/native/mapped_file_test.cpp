// Mapped files: their bytes, files that are not regular, truncated files, and released pages.
#include "io/mapped_file.h"

#include <cstring>

#include "check.h"
#include "core/error.h"
#include "temporary_file.h"

namespace eva::test {
namespace {

template <class Body> std::string message_of(const Body& body) {
  try {
    body();
  } catch (const error& e) {
    return std::string(e.code) + " " + e.what();
  }
  return "";
}

int64_t resident_file_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (int64_t kilobytes = 0; word == "RssFile:" && status >> kilobytes) return kilobytes;
  return -1;
}

void bytes_are_those_of_the_file() {
  const temporary_file file({'a', 'b', 'c'});
  const mapped_file mapped(file.path());
  check(mapped.size() == 3 && std::memcmp(mapped.data(), "abc", 3) == 0, "the bytes of a file");
  char copy[2] = {};
  mapped.read(1, 3, copy);
  check(std::memcmp(copy, "bc", 2) == 0, "a copy of some bytes");
  const temporary_file empty({});
  check(mapped_file(empty.path()).size() == 0, "an empty file has no bytes");
}

void what_is_no_file_is_refused() {
  const auto open = [](const char* path) { return message_of([&] { mapped_file file(path); }); };
  check(open("/nowhere/at/all").starts_with("ERR_EVACLIP_IO /nowhere/at/all: cannot be opened: No such"),
        "a missing file");
  check(open("/dev").find("not a regular file") != std::string::npos, "a folder");
  check(open("/dev/null").find("not a regular file") != std::string::npos, "a device");
}

void a_truncated_file_is_noticed() {
  const temporary_file file(std::vector<char>(10000));
  const mapped_file mapped(file.path());
  mapped.check_size(10000);
  file.resize(9999);
  mapped.check_size(9999);
  check(message_of([&] { mapped.check_size(10000); }).find("expected at least 10000 bytes, found 9999") !=
            std::string::npos,
        "a truncated file");
  std::vector<char> copy(10000);
  mapped.read(0, 9999, copy.data());
  check(message_of([&] { mapped.read(5000, 10000, copy.data()); }).find("10000 bytes, found 9999") !=
            std::string::npos,
        "reading beyond the end of a truncated file");
}

void released_pages_leave_memory_and_come_back() {
  constexpr int64_t bytes = int64_t(32) << 20;
  const temporary_file file(std::vector<char>(size_t(bytes), 1));
  const mapped_file mapped(file.path());
  const auto sum = [&] {
    int64_t total = 0;
    for (int64_t i = 0; i < bytes; i += 512) total += int64_t(mapped.data()[i]);
    return total;
  };
  const int64_t before = resident_file_kilobytes();
  check(sum() == bytes / 512, "every byte is read");
  check(resident_file_kilobytes() - before > bytes / 1024 / 2, "pages that were read are resident");
  mapped.release(1, bytes - 1);
  check(resident_file_kilobytes() - before < 1024, "released pages are not");
  check(sum() == bytes / 512, "released bytes can be read again");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  bytes_are_those_of_the_file();
  what_is_no_file_is_refused();
  a_truncated_file_is_noticed();
  released_pages_leave_memory_and_come_back();
  return status();
}
