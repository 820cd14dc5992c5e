#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "cpu/dispatch/nearest_rows.h"
#include "io/mapped_file.h"
#include "napi/task.h"
#include "runtime/device.h"

namespace eva::napi {

/// A search of a file's rows for those nearest to queries, on the threads of a CPU device.
class row_search {
 public:
  /// From { file, dtype, offset, rows, columns, queries, queryCount, count, cancelled, allowed? }. Throws
  /// argument_error if the rows exceed the file, and for a device that is not a CPU.
  row_search(const Napi::Value& given, const device& on, input_memory& inputs, task& reader);

  /// On the device's thread. Throws ERR_EVACLIP_ABORTED once `cancelled` is set, and ERR_EVACLIP_IO if the
  /// file has changed since it was opened.
  void run(const device_thread& thread);

  /// { rows: Int32Array, similarities: Float32Array }, [queryCount, found] each.
  Napi::Value result(Napi::Env env) const;

 private:
  std::shared_ptr<const mapped_file> file_;
  std::shared_ptr<const std::byte> queries_, cancelled_, allowed_;
  cpu::nearest_args args_{};
  cpu::nearest_rows_run search_;
  cpu::context threads_;
  std::vector<std::vector<cpu::neighbor>> found_;
};

}  // namespace eva::napi
