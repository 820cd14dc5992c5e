// Available memory: from fake /proc and cgroup files of both versions, and under resource limits of the
// process. Memory that is allocated but not yet touched counts as used.
#include "cpu/dispatch/available_memory.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "check.h"
#include "core/error.h"
#include "cpu/dispatch/backend.h"

namespace eva::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t megabyte = int64_t(1) << 20, gigabyte = int64_t(1) << 30;

/// A temporary tree of files.
class files {
 public:
  explicit files(const std::map<std::string, std::string>& contents) {
    root_ = (fs::temp_directory_path() / "eva-clip-XXXXXX").string();
    check(mkdtemp(root_.data()) != nullptr, "a temporary folder");
    for (const auto& [name, text] : contents) {
      const fs::path path = root_ + "/" + name;
      fs::create_directories(path.parent_path());
      std::ofstream(path) << text;
    }
  }
  ~files() { fs::remove_all(root_); }

  int64_t physical() const { return cpu::available(root_).physical; }

 private:
  std::string root_;
};

void expect(const std::string& what, std::map<std::string, std::string> contents, int64_t bytes) {
  contents.emplace("proc/meminfo", "MemTotal: 33554432 kB\nMemFree: 1 kB\nMemAvailable:   16777216 kB\n");
  const int64_t found = files(contents).physical();
  check(found == bytes, what + ": " + std::to_string(found) + " instead of " + std::to_string(bytes));
}

const std::string mount_1 =
    "34 30 0:31 / /cg/memory rw,relatime shared:9 master:2 - cgroup cgroup rw,memory\n";
const std::string mount_2 = "40 30 0:37 / /cg rw,relatime - cgroup2 cgroup2 rw\n";

void the_machine() {
  expect("no cgroups", {}, 16 * gigabyte);
  expect("a hierarchy without files", {{"proc/self/mountinfo", mount_2}, {"proc/self/cgroup", "0::/a\n"}},
         16 * gigabyte);
  expect("damaged files", {{"proc/self/mountinfo", "x\n\n - \n"}, {"proc/self/cgroup", "::\n0\n:"}},
         16 * gigabyte);
}

void version_1() {
  const std::string group = "9:name=systemd:/x\n4:cpu,memory:/a/b\n0::/\n";
  std::map<std::string, std::string> tree = {{"proc/self/mountinfo", mount_1},
                                             {"proc/self/cgroup", group},
                                             {"cg/memory/memory.limit_in_bytes", "9223372036854771712"},
                                             {"cg/memory/memory.usage_in_bytes", "5000000000"},
                                             {"cg/memory/a/memory.limit_in_bytes", "4294967296\n"},
                                             {"cg/memory/a/memory.usage_in_bytes", "1073741824\n"},
                                             {"cg/memory/a/b/memory.limit_in_bytes", "9223372036854771712"},
                                             {"cg/memory/a/b/memory.usage_in_bytes", "1048576"}};
  expect("version 1, the limit above", tree, 3 * gigabyte);
  tree["cg/memory/a/memory.stat"] =
      "cache 9\ninactive_file 9\ntotal_cache 999\ntotal_inactive_file 1048576\ntotal_active_file 2097152\n";
  expect("version 1, file cache is free", tree, 3 * gigabyte + 3 * megabyte);
  tree["cg/memory/a/b/memory.limit_in_bytes"] = "3145728";
  expect("version 1, its own limit", tree, 2 * megabyte);
  tree["cg/memory/a/b/memory.usage_in_bytes"] = "4194304";
  expect("version 1, more used than allowed", tree, 0);
}

void version_1_in_a_container() {
  const std::string mount = "34 30 0:31 /docker/id /cg/memory ro - cgroup cgroup rw,memory\n";
  std::map<std::string, std::string> tree = {{"proc/self/mountinfo", mount},
                                             {"proc/self/cgroup", "4:memory:/docker/id\n"},
                                             {"cg/memory/memory.limit_in_bytes", "1073741824"},
                                             {"cg/memory/memory.usage_in_bytes", "0"}};
  expect("the mount's root is the group", tree, gigabyte);
  tree["proc/self/cgroup"] = "4:memory:/docker/id/inner\n";
  tree["cg/memory/inner/memory.limit_in_bytes"] = "536870912";
  tree["cg/memory/inner/memory.usage_in_bytes"] = "0";
  expect("a group in it", tree, gigabyte / 2);
  tree["proc/self/cgroup"] = "4:memory:/elsewhere\n";
  expect("a group outside the mount", tree, gigabyte);
  tree["cg/memory/memory.limit_in_bytes"] = "9223372036854771712";
  tree["cg/memory/memory.stat"] = "hierarchical_memory_limit 268435456\n";
  expect("the limit of an invisible ancestor", tree, gigabyte / 4);
}

void version_2() {
  std::map<std::string, std::string> tree = {
      {"proc/self/mountinfo", mount_2},      {"proc/self/cgroup", "0::/pod/box\n"},
      {"cg/pod/memory.max", "2147483648\n"}, {"cg/pod/memory.current", "1073741824\n"},
      {"cg/pod/box/memory.max", "max\n"},    {"cg/pod/box/memory.current", "4096\n"}};
  expect("version 2, the limit above", tree, gigabyte);
  tree["cg/pod/memory.stat"] = "anon 7\nfile 9\ninactive_file 1048576\nactive_file 0\n";
  expect("version 2, file cache is free", tree, gigabyte + megabyte);
  tree["cg/pod/box/memory.max"] = "1048576";
  expect("version 2, its own limit", tree, megabyte - 4096);
  tree["cg/pod/box/memory.max"] = "max";
  tree["cg/pod/memory.max"] = "max";
  expect("version 2, no limit", tree, 16 * gigabyte);
}

void both_versions() {
  expect("version 1 next to an empty version 2",
         {{"proc/self/mountinfo", mount_2 + mount_1},
          {"proc/self/cgroup", "4:memory:/a\n0::/\n"},
          {"cg/memory/a/memory.limit_in_bytes", "1048576"},
          {"cg/memory/a/memory.usage_in_bytes", "0"}},
         megabyte);
}

template <class Body> void in_a_child(const std::string& what, const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int result = 0;
  waitpid(child, &result, 0);
  check(WIFEXITED(result) && WEXITSTATUS(result) == 0, what);
}

bool refuses(backend& on, int64_t bytes) {
  try {
    on.expect_free(bytes);
    return false;
  } catch (const out_of_memory_error& e) {
    const std::string message = e.what();
    return e.details.at("needed") == std::to_string(bytes) &&
           message.find(e.details.at("needed")) != std::string::npos &&
           message.find(e.details.at("free")) != std::string::npos &&
           std::stoll(e.details.at("free")) < bytes;
  }
}

void limits_of_the_process() {
  for (const auto limit : {RLIMIT_AS, RLIMIT_DATA})
    in_a_child("resource limit " + std::to_string(int(limit)), [&] {
      const auto on = cpu::open(1, "");
      if (refuses(*on, 300 * megabyte)) return false;
      const rlimit few{900 * megabyte, 900 * megabyte};
      return setrlimit(limit, &few) == 0 && refuses(*on, gigabyte);
    });
}

void untouched_memory_counts() {
  const auto on = cpu::open(1, "");
  const int64_t half = cpu::available().physical / 2;
  void* promised = on->allocate(half);
  check(refuses(*on, half), "half of the memory was granted twice");
  bool refused = false;
  try {
    on->release(on->allocate(half), half);
  } catch (const out_of_memory_error&) {
    refused = true;
  }
  check(refused, "half of the memory was allocated twice");
  on->expect_free(half / 2);
  on->release(promised, half);
  on->expect_free(half);
}

void small_pieces_add_up() {
  const auto on = cpu::open(1, "");
  constexpr int64_t piece = 8 * megabyte;
  std::vector<void*> pieces;
  const size_t enough = size_t(cpu::available().physical / piece) + 1000;
  bool refused = false;
  try {
    while (pieces.size() < enough) pieces.push_back(on->allocate(piece));
  } catch (const out_of_memory_error&) {
    refused = true;
  }
  for (void* memory : pieces) on->release(memory, piece);
  check(refused, "small allocations beyond the machine's memory");
}

void touched_memory_counts_once() {
  const auto on = cpu::open(1, "");
  constexpr int64_t bytes = 256 * megabyte;
  auto* memory = static_cast<std::byte*>(on->allocate(bytes));
  const int64_t free_before = cpu::available().physical - bytes;
  std::memset(memory, 1, size_t(bytes));
  // What remains after the memory was touched can still be allocated; the slack is for other processes.
  on->expect_free(free_before - free_before / 8);
  on->release(memory, bytes);
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  the_machine();
  version_1();
  version_1_in_a_container();
  version_2();
  both_versions();
  if (address_space_can_be_limited) limits_of_the_process();
  untouched_memory_counts();
  small_pieces_add_up();
  touched_memory_counts_once();
  return status();
}
