#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace eva {

/// A file and its read-only memory map. Thread-safe.
class mapped_file {
 public:
  /// Throws ERR_EVACLIP_IO if the file cannot be opened or is not a regular file.
  explicit mapped_file(std::string path);
  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  const std::string& path() const { return path_; }
  /// In bytes, at the time it was opened.
  int64_t size() const { return size_; }

  /// Copies bytes [begin, end) with pread: several times as fast as from the map, which takes a page fault
  /// per page. Throws ERR_EVACLIP_IO if the file was truncated or cannot be read.
  void read(int64_t begin, int64_t end, void* to) const;

  /// The memory map, for scattered reads. Reading beyond the end of a truncated file raises SIGBUS, so
  /// callers call check_size first.
  const std::byte* data() const { return data_; }

  /// Throws ERR_EVACLIP_IO if the file has been truncated to fewer than `end` bytes.
  void check_size(int64_t end) const;

  /// Throws ERR_EVACLIP_IO if the file has been written to or truncated since it was opened.
  void check_unchanged() const;

  /// Drops the pages of a range from memory, partial pages at its ends included. Reading them again faults
  /// them back in.
  void release(int64_t begin, int64_t end) const;

 private:
  [[noreturn]] void fail_truncated(int64_t expected, int64_t found) const;

  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  int64_t modified_ = 0;  // in nanoseconds
  const std::byte* data_ = nullptr;
};

}  // namespace eva
