#include "cpu/dispatch/onednn_gemm.h"

#include <array>
#include <dnnl.hpp>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "cpu/dispatch/workspace.h"

namespace eva::cpu {

namespace {

// Indices of a GEMM's operands.
enum operand : size_t { a, b, c, bias, addend, operands };

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream& stream() {
  thread_local dnnl::stream queue(engine());
  return queue;
}

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

dnnl::memory::desc description(const matrix_layout& m) {
  const auto type = m.type == dtype::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
  if (m.batch == 1) return {{m.rows, m.columns}, type, {m.row_stride, m.column_stride}};
  return {{m.batch, m.rows, m.columns}, type, {m.batch_stride, m.row_stride, m.column_stride}};
}

dnnl::memory::desc bias_description(const gemm_spec& spec) {
  if (!spec.bias) return {};
  if (spec.c.batch == 1)
    return {{1, spec.c.columns}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab};
  return {{1, 1, spec.c.columns}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::abc};
}

dnnl::matmul::primitive_desc describe(const gemm_spec& spec) {
  dnnl::post_ops after;
  if (spec.accumulate) after.append_sum();
  if (spec.addend.type != dtype::none)
    after.append_binary(dnnl::algorithm::binary_add, description(spec.addend));
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(after);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto source = description(spec.a), weights = description(spec.b), result = description(spec.c);
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), source, weights, bias_description(spec), result, attributes};
#else
  return {{source, weights, bias_description(spec), result}, attributes, engine()};
#endif
}

bool has_bf16(const gemm_spec& spec) {
  return spec.a.type == dtype::bf16 || spec.b.type == dtype::bf16 || spec.c.type == dtype::bf16;
}

/// Whether oneDNN has an optimized implementation for this bf16 GEMM, not only its slow reference.
bool has_fast_implementation(const gemm_spec& spec) {
  try {
    return std::string_view(describe(spec).impl_info_str()).find("ref") == std::string_view::npos;
  } catch (const dnnl::error&) {
    return false;
  }
}

/// Elements spanned by a strided matrix, from its first to its last.
int64_t extent(const matrix_layout& m) {
  return (m.batch - 1) * m.batch_stride + (m.rows - 1) * m.row_stride + (m.columns - 1) * m.column_stride + 1;
}

template <class From, class To> void convert(const void* from, void* to, int64_t count) {
  const auto* source = static_cast<const From*>(from);
  auto* target = static_cast<To*>(to);
#pragma omp parallel for
  for (int64_t i = 0; i < count; ++i) target[i] = To(float(source[i]));
}

/// Rounds only the elements of m, not those between them.
void convert_matrix(const float* from, void* to, const matrix_layout& m) {
#pragma omp parallel for collapse(2)
  for (int64_t n = 0; n < m.batch; ++n)
    for (int64_t i = 0; i < m.rows; ++i)
      for (int64_t j = 0; j < m.columns; ++j) {
        const int64_t at = n * m.batch_stride + i * m.row_stride + j * m.column_stride;
        static_cast<bf16*>(to)[at] = bf16(from[at]);
      }
}

struct primitive_gemm final : prepared_gemm {
  explicit primitive_gemm(const gemm_spec& requested);
  void run(const gemm_operands& on) override;
  void run(std::array<void*, operands> addresses);

  /// Replaces the addresses of bf16 operands by those of f32 copies in `memory`; converts those that are
  /// read.
  void convert_in(std::array<void*, operands>& addresses, std::byte* memory);

  std::array<matrix_layout, operands> layouts;
  std::array<bool, operands> converted{};
  bool accumulate;
  size_t scratchpad_bytes = 0, conversion_bytes = 0;
  dnnl::matmul primitive;
  std::array<dnnl::memory, operands> memories;
  dnnl::memory scratchpad;
  std::vector<dnnl_exec_arg_t> arguments;
};

primitive_gemm::primitive_gemm(const gemm_spec& requested)
    : layouts{requested.a, requested.b, requested.c, {}, requested.addend}, accumulate(requested.accumulate) {
  gemm_spec spec = requested;
  if (has_bf16(spec) && !has_fast_implementation(spec)) {
    for (size_t i = 0; i < operands; ++i) converted[i] = layouts[i].type == dtype::bf16;
    for (matrix_layout* m : {&spec.a, &spec.b, &spec.c, &spec.addend})
      if (m->type == dtype::bf16) m->type = dtype::f32;
    for (size_t i = 0; i < operands; ++i)
      if (converted[i]) conversion_bytes += aligned(size_t(extent(layouts[i])) * sizeof(float));
  }
  const auto description_of = describe(spec);
  primitive = dnnl::matmul(description_of);
  scratchpad_bytes = aligned(description_of.scratchpad_desc().get_size());
  // Memory objects are created once, because creating one allocates; addresses are set at each run.
  auto add = [&](int argument, const dnnl::memory::desc& what, dnnl::memory& memory) {
    memory = dnnl::memory(what, engine(), DNNL_MEMORY_NONE);
    arguments.push_back({argument, memory.get()});
  };
  add(DNNL_ARG_SRC, description_of.src_desc(), memories[a]);
  add(DNNL_ARG_WEIGHTS, description_of.weights_desc(), memories[b]);
  add(DNNL_ARG_DST, description_of.dst_desc(), memories[c]);
  if (spec.bias) add(DNNL_ARG_BIAS, bias_description(spec), memories[bias]);
  if (spec.addend.type != dtype::none) {
    add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, description(spec.addend), memories[addend]);
  }
  if (scratchpad_bytes > 0) add(DNNL_ARG_SCRATCHPAD, description_of.scratchpad_desc(), scratchpad);
}

void primitive_gemm::convert_in(std::array<void*, operands>& addresses, std::byte* memory) {
  for (size_t i = 0; i < operands; ++i) {
    if (!converted[i]) continue;
    if (i != c || accumulate) convert<bf16, float>(addresses[i], memory, extent(layouts[i]));
    addresses[i] = memory;
    memory += aligned(size_t(extent(layouts[i])) * sizeof(float));
  }
}

void primitive_gemm::run(std::array<void*, operands> addresses) {
  std::byte* memory = workspace(scratchpad_bytes + conversion_bytes);
  void* result = addresses[c];
  convert_in(addresses, memory + scratchpad_bytes);
  for (size_t i = 0; i < operands; ++i)
    if (memories[i]) memories[i].set_data_handle(addresses[i]);
  if (scratchpad_bytes > 0) scratchpad.set_data_handle(memory);
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive.get(), stream().get(), int(arguments.size()), arguments.data()),
      "could not run a GEMM");
  stream().wait();
  if (converted[c]) convert_matrix(static_cast<const float*>(addresses[c]), result, layouts[c]);
}

/// Calls body and translates oneDNN's exceptions to errors with a code.
template <class Body> auto translated(const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& failure) {
    if (failure.status == dnnl_out_of_memory) throw out_of_memory_error("oneDNN ran out of memory in a GEMM");
    throw error("ERR_EVACLIP_LIBRARY", std::string("oneDNN: ") + failure.what());
  }
}

void primitive_gemm::run(const gemm_operands& on) {
  // oneDNN takes non-const pointers to all operands, but only writes c.
  auto writable = [](const void* p) { return const_cast<void*>(p); };
  translated([&] { run({writable(on.a), writable(on.b), on.c, writable(on.bias), writable(on.addend)}); });
}

}  // namespace

std::unique_ptr<prepared_gemm> onednn_gemm(const gemm_spec& spec) {
  if (spec.pre || spec.activation != ops::activation::none)
    throw argument_error("a GEMM of oneDNN has neither an activation nor pre-activations");
  return translated([&] { return std::make_unique<primitive_gemm>(spec); });
}

}  // namespace eva::cpu
