// GEMMs through the stand-in for cuBLASLt: how the library is found, programs that move in memory, and what
// the stand-in refuses, so that the tests of ops can rely on it.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "backend_pair.h"
#include "cuda/linear/cublaslt.h"
#include "cuda/linear/gemm.h"

namespace {

using namespace eva;
using namespace eva::test;
using namespace eva::cuda;
namespace fs = std::filesystem;

/// Opens the library with this value of EVA_CLIP_CUBLASLT; returns its description or the error.
std::string opened_from(const std::string& given) {
  setenv("EVA_CLIP_CUBLASLT", given.c_str(), 1);
  std::string found;
  const std::string failure = failure_of([&] { found = blas_library::open()->description(); });
  return failure.empty() ? found : failure;
}

void the_library_is_found() {
  const std::string file = std::getenv("EVA_CLIP_CUBLASLT");
  const fs::path packages = fs::temp_directory_path() / ("eva-clip-cublaslt-" + std::to_string(getpid()));
  const fs::path inner = packages / "nvidia" / "cu13" / "lib";
  fs::create_directories(inner);
  fs::copy(file, inner / "libcublasLt.so.13");
  check(opened_from(file).starts_with("cuBLASLt 12.8.0 ("), "the file: " + opened_from(file));
  check(opened_from(fs::path(file).parent_path()).find("libcublasLt.so.13)") != std::string::npos,
        "its folder");
  check(opened_from(packages).find(inner.string()) != std::string::npos,
        "a folder of Python packages: " + opened_from(packages));
  check(opened_from("/nowhere/libcublasLt.so").find("cannot be opened (/nowhere/libcublasLt.so: ") !=
            std::string::npos,
        "a missing file");
  check(opened_from(fs::temp_directory_path()).find("no cuBLASLt in this folder") != std::string::npos,
        "a folder without it");
  fs::remove_all(packages);
  setenv("EVA_CLIP_CUBLASLT", file.c_str(), 1);
}

using values = cuda::device::vector<float>;

/// c [2, 3] = a [2, 4] b [4, 3] + bias, with ones in a and b.
struct small_gemm {
  static gemm_problem problem() {
    return {.a = dense(dtype::f32, 2, 4),
            .b = dense(dtype::f32, 4, 3),
            .c = dense(dtype::f32, 2, 3),
            .bias = true};
  }
  values a = values(8, 1.0f), b = values(12, 1.0f), c = values(6), bias = values(3, 0.5f);

  gemm_operands operands() { return {.a = a.data(), .b = b.data(), .c = c.data(), .bias = bias.data()}; }
};

void gemms_run_at_other_addresses() {
  context& on = device_context();
  small_gemm first, second;
  gemm prepared(small_gemm::problem(), first.operands(), on);
  second.bias.assign(3, 2.5f);
  prepared.run(first.operands(), on);
  prepared.run(second.operands(), on);
  cuda::device::synchronize(on.stream);
  check(first.c[5] == 4.5f && second.c[5] == 6.5f, "operands and biases of two runs");
}

void misuse_is_refused() {
  context& on = device_context();
  small_gemm good;
  const auto refused = [&](const gemm_problem& problem, const gemm_operands& prepared,
                           const gemm_operands& run) {
    return failure_of([&] { gemm(problem, prepared, on).run(run, on); });
  };
  const gemm_operands all = good.operands();
  check(refused(small_gemm::problem(), all, all).empty(), "a correct product");

  gemm_operands misaligned = all;
  misaligned.bias = good.bias.data() + 1;
  check(refused(small_gemm::problem(), all, misaligned).find("less aligned") != std::string::npos,
        "alignment");
  gemm_operands host = all;
  float on_stack[8] = {};
  host.a = on_stack;
  check(refused(small_gemm::problem(), host, host).find("device memory") != std::string::npos, "host memory");
  gemm_operands none = all;
  none.bias = nullptr;
  check(refused(small_gemm::problem(), all, none).find("the bias is null") != std::string::npos, "no bias");
  gemm_operands overlapping = all;
  overlapping.c = good.a.data();
  check(refused(small_gemm::problem(), all, overlapping).find("overlaps") != std::string::npos, "overlap");

  gemm_problem wide = small_gemm::problem();
  wide.c.row_stride = 5;  // its last row ends past c
  check(refused(wide, all, all).find("D is not all in device memory") != std::string::npos,
        "a leading dimension");
  gemm_problem mixed = small_gemm::problem();
  mixed.b.type = dtype::bf16;
  check(refused(mixed, all, all).find("different types") != std::string::npos, "operands of different types");
  gemm_problem inner = small_gemm::problem();
  inner.b.rows = 3;
  check(refused(inner, all, all).find("rows of op(B)") != std::string::npos, "inner dimensions");
  gemm_problem batch = small_gemm::problem();
  batch.a.batch = batch.b.batch = batch.c.batch = 2;
  check(refused(batch, all, all).find("no stride") != std::string::npos,
        "a batch of results without a stride");
}

}  // namespace

int main() {
  the_library_is_found();
  gemms_run_at_other_addresses();
  misuse_is_refused();
  return status();
}
