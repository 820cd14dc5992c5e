#include "cpu/dispatch/available_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <vector>

namespace eva::cpu {
namespace {

using std::filesystem::path;

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();

/// The number behind `name` in a file of lines such as "name: 12 kB" or "name 12".
std::optional<int64_t> number_behind(const path& file, const std::string& name) {
  std::ifstream lines(file);
  std::string word;
  for (int64_t number = 0; lines >> word;)
    if (word == name && lines >> number) return number;
  return std::nullopt;
}

/// The number that is all of a file; "max", a missing file and what is no number are none.
std::optional<int64_t> number_in(const path& file) {
  std::ifstream line(file);
  int64_t number = 0;
  if (line >> number) return number;
  return std::nullopt;
}

/// The names of the files of a version.
struct cgroup_files {
  const char *limit, *usage, *limit_above;
};
constexpr cgroup_files version_1{"memory.limit_in_bytes", "memory.usage_in_bytes",
                                 "hierarchical_memory_limit"};
constexpr cgroup_files version_2{"memory.max", "memory.current", ""};

/// Bytes left under a group's own limit and, in version 1, under its ancestors', which a container cannot
/// see.
int64_t left_in(const path& group, const cgroup_files& files) {
  const path stat = group / "memory.stat";
  const int64_t limit = std::min(number_in(group / files.limit).value_or(unlimited),
                                 number_behind(stat, files.limit_above).value_or(unlimited));
  const auto usage = number_in(group / files.usage);
  if (limit == unlimited || !usage) return unlimited;
  // Version 1 has the same names for the group without its children, and these for all.
  const auto cache = [&](const std::string& name) {
    return number_behind(stat, "total_" + name).value_or(number_behind(stat, name).value_or(0));
  };
  const int64_t used = std::max<int64_t>(0, *usage - cache("inactive_file") - cache("active_file"));
  return std::max<int64_t>(0, limit - used);
}

/// A mounted hierarchy of memory cgroups, and the group of it that the mount shows as its root.
struct mounted_hierarchy {
  path at, shown;
  const cgroup_files* files;
};

bool lists(const std::string& comma_separated, const std::string& wanted) {
  std::istringstream names(comma_separated);
  for (std::string name; std::getline(names, name, ',');)
    if (name == wanted) return true;
  return false;
}

// id parent device root mount-point options [tags …] - type source super-options
std::vector<mounted_hierarchy> mounted_hierarchies(const std::string& root) {
  std::vector<mounted_hierarchy> found;
  std::ifstream lines(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, shown, at, type, source, options;
    words >> word >> word >> word >> shown >> at;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    if (type == "cgroup2") found.push_back({root + at, shown, &version_2});
    if (type == "cgroup" && lists(options, "memory")) found.push_back({root + at, shown, &version_1});
  }
  return found;
}

/// This process's group in a hierarchy, from lines "number:controllers:group"; empty when there is none.
path own_group(const std::string& root, const cgroup_files& files) {
  std::ifstream lines(root + "/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (&files == &version_2 ? controllers.empty() : lists(controllers, "memory"))
      return line.substr(second + 1);
  }
  return {};
}

/// The least that this process's group and those above it, up to the mount's root, leave.
int64_t left_in(const mounted_hierarchy& hierarchy, const std::string& root) {
  const path own = own_group(root, *hierarchy.files);
  if (own.empty()) return unlimited;
  path below = own.lexically_relative(hierarchy.shown);
  // A group that the mount does not show: its root is the nearest one that is known.
  if (below.empty() || *below.begin() == "..") below = ".";
  int64_t least = left_in(hierarchy.at, *hierarchy.files);
  path group = hierarchy.at;
  for (const path& name : below) least = std::min(least, left_in(group /= name, *hierarchy.files));
  return least;
}

int64_t left_of(decltype(RLIMIT_AS) resource, const std::string& root, const char* used) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return unlimited;
  const int64_t bytes = number_behind(root + "/proc/self/status", used).value_or(0) * 1024;
  return std::max<int64_t>(0, int64_t(std::min<rlim_t>(limit.rlim_cur, unlimited)) - bytes);
}

}  // namespace

available_memory available(const std::string& root) {
  const auto kilobytes = number_behind(root + "/proc/meminfo", "MemAvailable:");
  int64_t to_touch =
      kilobytes ? *kilobytes * 1024 : int64_t(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  for (const mounted_hierarchy& hierarchy : mounted_hierarchies(root))
    to_touch = std::min(to_touch, left_in(hierarchy, root));
  return {to_touch, std::min(left_of(RLIMIT_AS, root, "VmSize:"), left_of(RLIMIT_DATA, root, "VmData:"))};
}

}  // namespace eva::cpu
