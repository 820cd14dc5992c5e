#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace eva::cuda {

/// The algorithms that were the fastest of their problems, in a file that all processes share, so that all of
/// them compute the same bits. The file is replaced by rename and carries a checksum.
class algorithm_cache {
 public:
  using algorithm = std::array<std::byte, 64>;  // cublasLtMatmulAlgo_t, which may be stored
  using measurement = std::function<std::optional<algorithm>()>;

  /// EVA_CLIP_CUDA_AUTOTUNE_FILE or eva-clip/gemm_algorithms.txt in the user's cache folder. Disabled if
  /// EVA_CLIP_CUDA_AUTOTUNE is 0.
  static algorithm_cache of_user();
  /// The file need not exist. It is disabled if it cannot be locked or written.
  explicit algorithm_cache(std::filesystem::path file);

  /// The algorithm of a problem, if it is known.
  std::optional<algorithm> find(const std::string& problem) const;

  /// The algorithm of a problem: another process's if it has been added meanwhile and `fits`, or else what
  /// `measure` returns, while other processes wait. Nothing if the cache is disabled or becomes so.
  std::optional<algorithm> find_or_measure(const std::string& problem,
                                           const std::function<bool(const algorithm&)>& fits,
                                           const measurement& measure);

  bool is_enabled() const { return disabled_.empty(); }
  /// What a user should know: the file, why it is disabled, or why its contents were ignored.
  std::string description() const;

 private:
  explicit algorithm_cache() = default;
  class lock;
  void read();
  void write() const;
  template <class Body> void or_disable(const Body& body);

  std::filesystem::path file_;
  std::map<std::string, algorithm> known_;
  std::string disabled_, ignored_;  // reasons
};

}  // namespace eva::cuda
