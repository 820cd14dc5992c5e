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

/// The number after `name` in a file of lines such as "name: 12 kB" or "name 12".
std::optional<int64_t> number_after(const path& file, const std::string& name) {
  std::ifstream lines(file);
  std::string word;
  for (int64_t number = 0; lines >> word;)
    if (word == name && lines >> number) return number;
  return std::nullopt;
}

/// The number that a file consists of; none for "max", a missing file or anything else.
std::optional<int64_t> number_in(const path& file) {
  std::ifstream line(file);
  int64_t number = 0;
  if (line >> number) return number;
  return std::nullopt;
}

/// File names of a cgroup version.
struct cgroup_files {
  const char *limit, *usage, *limit_above;
};
constexpr cgroup_files version_1{"memory.limit_in_bytes", "memory.usage_in_bytes",
                                 "hierarchical_memory_limit"};
constexpr cgroup_files version_2{"memory.max", "memory.current", ""};

/// Bytes left under a group's limit and, in version 1, under those of its ancestors, which a container cannot
/// see.
int64_t left_in(const path& group, const cgroup_files& files) {
  const path stat = group / "memory.stat";
  const int64_t limit = std::min(number_in(group / files.limit).value_or(unlimited),
                                 number_after(stat, files.limit_above).value_or(unlimited));
  const auto usage = number_in(group / files.usage);
  if (limit == unlimited || !usage) return unlimited;
  // In version 1 the plain names exclude the group's children, and the total_ names include them.
  const auto cache = [&](const std::string& name) {
    return number_after(stat, "total_" + name).value_or(number_after(stat, name).value_or(0));
  };
  const int64_t used = std::max<int64_t>(0, *usage - cache("inactive_file") - cache("active_file"));
  return std::max<int64_t>(0, limit - used);
}

/// A mounted hierarchy of memory cgroups, and the group that is the root of the mount.
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

/// The minimum of what this process's group and its ancestors up to the mount's root leave.
int64_t left_in(const mounted_hierarchy& hierarchy, const std::string& root) {
  const path own = own_group(root, *hierarchy.files);
  if (own.empty()) return unlimited;
  path below = own.lexically_relative(hierarchy.shown);
  // For a group outside the mount, the mount's root is the nearest known group.
  if (below.empty() || *below.begin() == "..") below = ".";
  int64_t least = left_in(hierarchy.at, *hierarchy.files);
  path group = hierarchy.at;
  for (const path& name : below) least = std::min(least, left_in(group /= name, *hierarchy.files));
  return least;
}

int64_t left_of(decltype(RLIMIT_AS) resource, const std::string& root, const char* used) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return unlimited;
  const int64_t bytes = number_after(root + "/proc/self/status", used).value_or(0) * 1024;
  return std::max<int64_t>(0, int64_t(std::min<rlim_t>(limit.rlim_cur, unlimited)) - bytes);
}

}  // namespace

available_memory available(const std::string& root) {
  const auto kilobytes = number_after(root + "/proc/meminfo", "MemAvailable:");
  int64_t physical =
      kilobytes ? *kilobytes * 1024 : int64_t(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  for (const mounted_hierarchy& hierarchy : mounted_hierarchies(root))
    physical = std::min(physical, left_in(hierarchy, root));
  return {physical, std::min(left_of(RLIMIT_AS, root, "VmSize:"), left_of(RLIMIT_DATA, root, "VmData:"))};
}

}  // namespace eva::cpu
