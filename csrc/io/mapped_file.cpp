#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace eva {
namespace {

error io_error(const std::string& path, const std::string& problem) {
  return {"ERR_EVACLIP_IO", path + ": " + problem, {{"path", path}}};
}

/// In nanoseconds since 1970.
int64_t modification_time(const struct stat& status) {
  return int64_t(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

mapped_file::mapped_file(std::string path) : path_(std::move(path)) {
  // Without O_NONBLOCK, opening a pipe would block until it has a writer.
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw io_error(path_, std::string("cannot be opened: ") + std::strerror(errno));
  const auto fail = [this](const std::string& problem) {
    close(descriptor_);
    return io_error(path_, problem);
  };
  struct stat status = {};
  if (fstat(descriptor_, &status) != 0) throw fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) throw fail("is not a regular file");
  size_ = status.st_size;
  modified_ = modification_time(status);
  if (size_ == 0) return;  // an empty range cannot be mapped
  void* memory = mmap(nullptr, size_t(size_), PROT_READ, MAP_SHARED, descriptor_, 0);
  if (memory == MAP_FAILED) throw fail(std::string("cannot be mapped: ") + std::strerror(errno));
  data_ = static_cast<const std::byte*>(memory);
}

mapped_file::~mapped_file() {
  if (data_) munmap(const_cast<std::byte*>(data_), size_t(size_));
  close(descriptor_);
}

void mapped_file::fail_truncated(int64_t expected, int64_t found) const {
  throw error("ERR_EVACLIP_IO",
              path_ + " was truncated after it was opened: expected at least " + std::to_string(expected) +
                  " bytes, found " + std::to_string(found),
              {{"path", path_}, {"expected", std::to_string(expected)}, {"actual", std::to_string(found)}});
}

void mapped_file::read(int64_t begin, int64_t end, void* to) const {
  for (int64_t at = begin; at < end;) {
    const ssize_t got = pread(descriptor_, static_cast<std::byte*>(to) + (at - begin), size_t(end - at), at);
    if (got == 0) fail_truncated(end, at);
    if (got < 0 && errno != EINTR)
      throw io_error(path_, std::string("cannot be read: ") + std::strerror(errno));
    if (got > 0) at += got;
  }
}

void mapped_file::check_size(int64_t end) const {
  struct stat status = {};
  if (fstat(descriptor_, &status) != 0) throw io_error(path_, std::strerror(errno));
  if (status.st_size < end) fail_truncated(end, status.st_size);
}

void mapped_file::check_unchanged() const {
  struct stat status = {};
  if (fstat(descriptor_, &status) != 0) throw io_error(path_, std::strerror(errno));
  if (status.st_size < size_) fail_truncated(size_, status.st_size);
  if (status.st_size > size_ || modification_time(status) != modified_)
    throw io_error(path_, "was changed after it was opened");
}

void mapped_file::release(int64_t begin, int64_t end) const {
  // The page cache has folios of up to this size, and one access may map a whole folio, including pages that
  // were released before.
  constexpr int64_t folio = int64_t(2) << 20;
  begin -= begin % folio;
  end = std::min((end + folio - 1) / folio * folio, size_);
  // Only a hint, so failure is harmless.
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, size_t(end - begin), MADV_DONTNEED);
}

}  // namespace eva
