#include "cuda/linear/algorithm_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

namespace eva::cuda {
namespace {

namespace fs = std::filesystem;

constexpr const char* header = "eva-clip GEMM algorithms 1\n";
constexpr const char* checksum_line = "checksum ";

/// Another process measures one problem at a time, which takes less than a second.
constexpr auto longest_wait = std::chrono::seconds(30);

/// 64-bit FNV-1a.
uint64_t checksum_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ uint8_t(c)) * 0x100000001b3u;
  return hash;
}

std::string to_hex(const algorithm_cache::algorithm& bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const std::byte each : bytes) (text += digits[int(each) >> 4]) += digits[int(each) & 15];
  return text;
}

std::optional<algorithm_cache::algorithm> from_hex(const std::string& text) {
  algorithm_cache::algorithm bytes;
  if (text.size() != 2 * bytes.size()) return std::nullopt;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const std::string digits = text.substr(2 * i, 2);
    if (digits.find_first_not_of("0123456789abcdef") != std::string::npos) return std::nullopt;
    bytes[i] = std::byte(std::stoi(digits, nullptr, 16));
  }
  return bytes;
}

/// The entries of a file; nothing if it is not one of this format, or damaged.
std::optional<std::map<std::string, algorithm_cache::algorithm>> parsed(const std::string& text) {
  const size_t end = text.rfind(checksum_line);
  if (text.rfind(header, 0) != 0 || end == std::string::npos) return std::nullopt;
  const std::string entries = text.substr(0, end);
  if (text.substr(end) != checksum_line + std::to_string(checksum_of(entries)) + "\n") return std::nullopt;
  std::map<std::string, algorithm_cache::algorithm> known;
  std::istringstream lines(entries.substr(std::string(header).size()));
  for (std::string line; std::getline(lines, line);) {
    const size_t tab = line.find('\t');
    const auto algorithm = tab == std::string::npos ? std::nullopt : from_hex(line.substr(tab + 1));
    if (!algorithm) return std::nullopt;
    known[line.substr(0, tab)] = *algorithm;
  }
  return known;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

/// Holds the lock of a file, which is another file, because the first is replaced.
class algorithm_cache::lock {
 public:
  explicit lock(const fs::path& file) {
    const std::string path = file.string() + ".lock";
    opened_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (opened_ < 0) fail(path);
    const auto until = std::chrono::steady_clock::now() + longest_wait;
    while (flock(opened_, LOCK_EX | LOCK_NB) != 0) {
      if ((errno == EWOULDBLOCK || errno == EINTR) && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        continue;
      }
      const int reason = errno;
      close(opened_);
      errno = reason;
      fail(path);
    }
  }
  lock(const lock&) = delete;
  ~lock() { close(opened_); }

 private:
  int opened_;
};

algorithm_cache algorithm_cache::of_user() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  algorithm_cache none;
  if (variable("EVA_CLIP_CUDA_AUTOTUNE") == "0") {
    none.disabled_ = "EVA_CLIP_CUDA_AUTOTUNE is 0";
    return none;
  }
  if (const std::string file = variable("EVA_CLIP_CUDA_AUTOTUNE_FILE"); !file.empty())
    return algorithm_cache(file);
  fs::path folder = variable("XDG_CACHE_HOME");
  if (folder.empty() && !variable("HOME").empty()) folder = fs::path(variable("HOME")) / ".cache";
  if (!folder.empty()) return algorithm_cache(folder / "eva-clip" / "gemm_algorithms.txt");
  none.disabled_ = "HOME is not set";
  return none;
}

algorithm_cache::algorithm_cache(fs::path file) : file_(std::move(file)) {
  or_disable([&] {
    if (file_.has_parent_path()) fs::create_directories(file_.parent_path());
    const lock held(file_);
    read();
    write();
  });
}

template <class Body> void algorithm_cache::or_disable(const Body& body) {
  try {
    body();
  } catch (const std::system_error& e) {
    disabled_ = e.what();
  }
}

void algorithm_cache::read() {
  std::ifstream in(file_, std::ios::binary);
  if (!in) return;
  std::ostringstream text;
  text << in.rdbuf();
  auto entries = parsed(text.str());
  if (entries)
    known_ = std::move(*entries);
  else
    ignored_ = "it was damaged, and has been replaced";
}

void algorithm_cache::write() const {
  std::string text = header;
  for (const auto& [problem, bytes] : known_) text += problem + "\t" + to_hex(bytes) + "\n";
  text += checksum_line + std::to_string(checksum_of(text)) + "\n";
  const std::string written = file_.string() + "." + std::to_string(getpid()) + ".new";
  std::ofstream out(written, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out || std::rename(written.c_str(), file_.c_str()) != 0) {
    const int reason = errno;
    unlink(written.c_str());
    errno = reason;
    fail(written);
  }
}

std::optional<algorithm_cache::algorithm> algorithm_cache::find(const std::string& problem) const {
  const auto found = known_.find(problem);
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

std::optional<algorithm_cache::algorithm> algorithm_cache::find_or_measure(
    const std::string& problem, const std::function<bool(const algorithm&)>& fits,
    const measurement& measure) {
  std::optional<algorithm> chosen;
  if (!is_enabled()) return chosen;
  or_disable([&] {
    const lock held(file_);
    read();
    chosen = find(problem);
    if (chosen && fits(*chosen)) return;
    chosen = measure();
    if (!chosen) return;
    known_[problem] = *chosen;
    write();
  });
  if (!is_enabled()) chosen.reset();
  return chosen;
}

std::string algorithm_cache::description() const {
  if (!is_enabled()) return "algorithms are cuBLASLt's first choice: " + disabled_;
  return "algorithms are timed once per shape: " + file_.string() +
         (ignored_.empty() ? "" : " (" + ignored_ + ")");
}

}  // namespace eva::cuda
