// The file of GEMM algorithms: shared by processes, replaced when damaged, disabled where it cannot be
// written.
#include "cuda/linear/algorithm_cache.h"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "../check.h"

namespace {

using namespace eva;
using namespace eva::test;
using eva::cuda::algorithm_cache;
namespace fs = std::filesystem;

algorithm_cache::algorithm numbered(int number) {
  algorithm_cache::algorithm made{};
  for (size_t i = 0; i < made.size(); ++i) made[i] = std::byte(number + int(i));
  return made;
}

const auto fits = [](const algorithm_cache::algorithm&) { return true; };
const auto must_not_measure = []() -> std::optional<algorithm_cache::algorithm> {
  check(false, "a known problem is measured");
  return std::nullopt;
};
const auto measures = [](int number) { return [number] { return std::optional(numbered(number)); }; };

std::string text_of(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

void processes_share_what_one_has_measured(const fs::path& folder) {
  const fs::path file = folder / "made" / "algorithms.txt";
  algorithm_cache first(file), second(file);
  check(first.is_enabled() && first.description().find(file.string()) != std::string::npos, "enabled");
  check(first.find_or_measure("a", fits, measures(1)) == numbered(1), "a measured problem");
  check(second.find("a") == std::nullopt, "not read yet");
  check(second.find_or_measure("a", fits, must_not_measure) == numbered(1), "another process's");
  check(second.find_or_measure("b, of f32 [6, 768]", fits, measures(2)) == numbered(2), "another problem");
  check(first.find_or_measure("c", fits, [] { return std::nullopt; }) == std::nullopt, "no candidate");
  const algorithm_cache third(file);
  check(third.find("a") == numbered(1) && third.find("b, of f32 [6, 768]") == numbered(2), "both are kept");
  check(third.find("c") == std::nullopt, "and nothing else");
}

void simultaneous_processes_choose_the_same(const fs::path& folder) {
  const fs::path file = folder / "algorithms.txt";
  std::atomic<int> measured = 0;
  std::vector<std::optional<algorithm_cache::algorithm>> chosen(8);
  std::vector<std::thread> all;
  for (int i = 0; i < 8; ++i)
    all.emplace_back([&, i] {
      algorithm_cache own(file);
      chosen[size_t(i)] = own.find_or_measure("a", fits, [&] {
        ++measured;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return std::optional(numbered(i));
      });
    });
  for (std::thread& each : all) each.join();
  check(measured == 1, "measured " + std::to_string(measured) + " times");
  for (const auto& each : chosen) check(each && each == chosen[0], "the same choice");
}

void damaged_files_are_replaced(const fs::path& folder) {
  const fs::path file = folder / "algorithms.txt";
  algorithm_cache(file).find_or_measure("a", fits, measures(1));
  const std::string right = text_of(file);
  std::string flipped = right;
  flipped[right.find('\t') + 9] ^= 1;
  for (const std::string& damaged :
       {std::string(), std::string("\0\xff", 2), right.substr(0, right.size() - 1),
        right.substr(0, right.size() / 2), "x" + right, right + right, flipped}) {
    std::ofstream(file, std::ios::binary) << damaged;
    algorithm_cache opened(file);
    check(opened.is_enabled() && opened.find("a") == std::nullopt, "a damaged file is not used");
    check(opened.description().find("damaged") != std::string::npos, opened.description());
    check(opened.find_or_measure("a", fits, measures(3)) == numbered(3), "it is measured again");
    check(algorithm_cache(file).find("a") == numbered(3), "and replaced");
  }
}

void unfit_algorithms_are_measured_again(const fs::path& folder) {
  const fs::path file = folder / "algorithms.txt";
  algorithm_cache cache(file);
  cache.find_or_measure("a", fits, measures(1));
  const auto unfit = [](const algorithm_cache::algorithm& given) { return given != numbered(1); };
  check(cache.find_or_measure("a", unfit, measures(2)) == numbered(2), "measured again");
  check(algorithm_cache(file).find("a") == numbered(2), "and replaced");
}

void unusable_files_disable_it(const fs::path& folder) {
  const fs::path file = folder / "file";
  std::ofstream(file) << "x";
  algorithm_cache below(file / "algorithms.txt");
  check(!below.is_enabled(), "a folder that is a file");
  check(below.find_or_measure("a", fits, must_not_measure) == std::nullopt, "nothing is measured");
  check(below.description().find(file.string()) != std::string::npos, below.description());

  const fs::path place = folder / "algorithms.txt";
  algorithm_cache cache(place);
  const auto in_the_way = [&] {  // the file cannot be replaced by rename
    fs::remove(place);
    fs::create_directories(place / "full");
    return std::optional(numbered(1));
  };
  check(cache.find_or_measure("a", fits, in_the_way) == std::nullopt, "a choice that cannot be kept");
  check(!cache.is_enabled(), "disabled from then on");
  for (const auto& entry : fs::directory_iterator(folder))
    check(entry.path().extension() != ".new", "no temporary file is left: " + entry.path().string());
}

void variables_choose_the_file(const fs::path& folder) {
  setenv("EVA_CLIP_CUDA_AUTOTUNE_FILE", (folder / "named.txt").c_str(), 1);
  algorithm_cache::of_user();
  check(fs::exists(folder / "named.txt"), "EVA_CLIP_CUDA_AUTOTUNE_FILE");
  unsetenv("EVA_CLIP_CUDA_AUTOTUNE_FILE");
  setenv("XDG_CACHE_HOME", folder.c_str(), 1);
  algorithm_cache::of_user();
  check(fs::exists(folder / "eva-clip" / "gemm_algorithms.txt"), "XDG_CACHE_HOME");
  setenv("EVA_CLIP_CUDA_AUTOTUNE", "0", 1);
  const algorithm_cache off = algorithm_cache::of_user();
  check(!off.is_enabled() && off.description().find("EVA_CLIP_CUDA_AUTOTUNE") != std::string::npos, "off");
}

}  // namespace

int main() {
  std::string pattern = (fs::temp_directory_path() / "algorithms-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  int number = 0;
  for (const auto test : {processes_share_what_one_has_measured, simultaneous_processes_choose_the_same,
                          damaged_files_are_replaced, unfit_algorithms_are_measured_again,
                          unusable_files_disable_it, variables_choose_the_file}) {
    const fs::path own = folder / std::to_string(number++);
    fs::create_directories(own);
    test(own);
  }
  fs::remove_all(folder);
  return status();
}
