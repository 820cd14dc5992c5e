#include "napi/row_search.h"

#include <string>

#include "napi/convert.h"
#include "napi/file_object.h"

namespace eva::napi {
namespace {

/// "x86-64-v4_bf16" → "v4_bf16"
std::string level_of(const std::string& instruction_set) {
  return instruction_set.substr(instruction_set.rfind('-') + 1);
}

}  // namespace

row_search::row_search(const Napi::Value& given, const device& on, input_memory& inputs, task& reader) {
  if (on.info().kind != "cpu") throw argument_error("rows of a file are searched by a CPU device");
  if (!given.IsObject()) throw argument_error("a search must be an object");
  const auto object = given.As<Napi::Object>();
  const auto integer = [&](const char* name) { return non_negative_integer_from(object.Get(name), name); };
  file_ = unwrap<file_object>(object.Get("file"), environment::of(given.Env()).file_class, "a MappedFile")
              ->native();
  args_.type = stored_dtype_from(object.Get("dtype"));
  const int64_t offset = integer("offset"), size = size_of(args_.type);
  args_.row_count = integer("rows");
  args_.columns = integer("columns");
  args_.query_count = integer("queryCount");
  args_.count = integer("count");
  constexpr int64_t most_rows = int64_t(1) << 31, most_columns = int64_t(1) << 24;
  if (args_.row_count >= most_rows || args_.columns == 0 || args_.columns >= most_columns ||
      args_.query_count >= most_rows || args_.count == 0)
    throw argument_error("impossible numbers of rows, columns, queries or neighbors");
  if (offset % size != 0 || args_.row_count * args_.columns * size > file_->size() - offset)
    throw argument_error("the rows exceed " + file_->path() + " or are not aligned to their type");
  if (file_->size() > 0) args_.rows = file_->data() + offset;
  queries_ = input_from(object.Get("queries"), args_.query_count * args_.columns * int64_t(sizeof(float)),
                        "queries", inputs, reader);
  args_.queries = reinterpret_cast<const float*>(queries_.get());
  cancelled_ = input_from(object.Get("cancelled"), sizeof(int32_t), "cancelled", inputs, reader);
  if (!object.Get("allowed").IsUndefined()) {
    allowed_ = input_from(object.Get("allowed"), (args_.row_count + 7) / 8, "allowed", inputs, reader);
    args_.allowed = reinterpret_cast<const uint8_t*>(allowed_.get());
  }
  search_ = cpu::nearest_rows(level_of(on.info().instruction_set));
  threads_.threads = on.info().threads;
}

void row_search::run(const device_thread& thread) {
  // JavaScript sets it while this runs; it lies in a SharedArrayBuffer.
  const auto& cancelled = *reinterpret_cast<const volatile int32_t*>(cancelled_.get());
  args_.before_part = [&] {
    if (thread.cancelled()) throw disposed_error("the device");
    if (cancelled != 0) throw error("ERR_EVACLIP_ABORTED", "the search was cancelled");
    // The map of a truncated file ends in SIGBUS.
    file_->check_unchanged();
  };
  found_ = search_(args_, threads_);
}

Napi::Value row_search::result(Napi::Env env) const {
  size_t total = 0;
  for (const auto& each : found_) total += each.size();
  auto rows = Napi::Int32Array::New(env, total);
  auto similarities = Napi::Float32Array::New(env, total);
  size_t at = 0;
  for (const auto& each : found_)
    for (const auto& [similarity, row] : each) {
      rows.Data()[at] = row;
      similarities.Data()[at++] = similarity;
    }
  auto out = Napi::Object::New(env);
  out.Set("rows", rows);
  out.Set("similarities", similarities);
  return out;
}

}  // namespace eva::napi
