#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace eva {

/// A file, and its bytes mapped read-only into memory. Safe to use from several threads.
class mapped_file {
 public:
  /// Throws ERR_EVACLIP_IO when the file cannot be opened or is not an ordinary one.
  explicit mapped_file(std::string path);
  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  const std::string& path() const { return path_; }
  /// In bytes, when it was opened.
  int64_t size() const { return size_; }

  /// Copies the bytes from `begin` to `end`: several times as fast as through the map, of which each page
  /// must be entered first. Throws ERR_EVACLIP_IO when the file has become shorter, or cannot be read.
  void read(int64_t begin, int64_t end, void* to) const;

  /// The map, for what lies scattered. Reading a byte that the file no longer has ends the process, so
  /// whoever does calls check_size first.
  const std::byte* data() const { return data_; }

  /// Throws ERR_EVACLIP_IO when the file has become shorter than `end` bytes.
  void check_size(int64_t end) const;

  /// Gives the memory of a range back to the system: whole pages, those at the ends included. The bytes can
  /// still be read, which fetches them again.
  void release(int64_t begin, int64_t end) const;

 private:
  [[noreturn]] void fail_shorter(int64_t expected, int64_t found) const;

  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  const std::byte* data_ = nullptr;
};

}  // namespace eva
