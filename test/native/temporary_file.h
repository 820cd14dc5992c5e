#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace eva::test {

/// A temporary file.
class temporary_file {
 public:
  explicit temporary_file(const std::vector<char>& content) {
    std::string pattern = (std::filesystem::temp_directory_path() / "eva-clip-XXXXXX").string();
    close(mkstemp(pattern.data()));
    path_ = pattern;
    std::ofstream(path_, std::ios::binary).write(content.data(), std::streamsize(content.size()));
  }
  ~temporary_file() { std::filesystem::remove(path_); }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;

  const std::string& path() const { return path_; }
  void resize(uint64_t bytes) const { std::filesystem::resize_file(path_, bytes); }

 private:
  std::string path_;
};

}  // namespace eva::test
