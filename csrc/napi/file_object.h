#pragma once

#include <napi.h>

#include "io/stored_tensor.h"
#include "runtime/parameter.h"

namespace eva::napi {

/// A memory-mapped file: new MappedFile(path); size; readBytes(begin, into); read(view, first, into);
/// close(). Pending reads keep it open.
class file_object final : public Napi::ObjectWrap<file_object> {
 public:
  explicit file_object(const Napi::CallbackInfo& info);
  static Napi::Function define(Napi::Env env);

  /// Throws disposed_error after close().
  const std::shared_ptr<const mapped_file>& native() const;

 private:
  Napi::Value size(const Napi::CallbackInfo& info);
  void read_bytes(const Napi::CallbackInfo& info);
  void read(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { file_.reset(); }

  std::shared_ptr<const mapped_file> file_;
  int64_t size_ = 0;
};

/// From a name: F64, F32, F16 or BF16.
stored_dtype stored_dtype_from(const Napi::Value& value);

/// A stored tensor and the part of a parameter that it fills.
struct piece {
  io::stored_tensor from;
  int64_t at;  // the first element that it fills
};

/// From { file, dtype, offset, shape, strides, at }[]. Throws argument_error if one exceeds its file or the
/// parameter.
std::vector<piece> pieces_from(const Napi::Value& value, const parameter& to);

/// Fills the parameter, on the device's thread.
void load(const std::vector<piece>& pieces, const parameter& to);

/// (from, its type, to, its type): converts all elements of one typed array into another.
void convert_elements(const Napi::CallbackInfo& info);

}  // namespace eva::napi
