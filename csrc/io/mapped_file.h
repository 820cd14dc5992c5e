#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace eva {

/// A file mapped read-only into memory. Reading a byte that the file no longer has would end the process, so
/// whoever reads a range calls check_size first. Safe to read from several threads.
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
  const std::byte* data() const { return data_; }

  /// Throws ERR_EVACLIP_IO when the file has become shorter than `end` bytes.
  void check_size(int64_t end) const;

  /// Gives the memory of a range back to the system: whole pages, those at the ends included. The bytes can
  /// still be read, which fetches them again.
  void release(int64_t begin, int64_t end) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  const std::byte* data_ = nullptr;
};

}  // namespace eva
