// Attention and its gradient on CUDA against the CPU backend.
#include "backend_pair.h"

namespace eva::test {
namespace {

struct problem {
  std::vector<int> lengths;  // of the sequences; all equal unless packed
  int heads, head_dim;
  bool causal = false, packed = false;
  int grid = 0;          // side of the RoPE table; 0: no RoPE
  bool dropped = false;  // patch dropout: with positions
  int padding = 0;       // packed rows after the last sequence
};

std::string describe(const problem& p, dtype type) {
  std::string text = "lengths";
  for (int n : p.lengths) text += " " + std::to_string(n);
  return text + ", " + std::to_string(p.heads) + " heads of " + std::to_string(p.head_dim) +
         (p.packed ? ", packed" : "") + (p.causal ? ", causal" : "") + (p.grid ? ", rope" : "") +
         (p.dropped ? ", positions" : "") + ", " + std::string(to_string(type));
}

/// The fields that forward and backward share, with their memory.
struct inputs {
  inputs(const problem& p, dtype type) : rope(dtype::f32, {p.grid, p.head_dim / 4, 2}) {
    int rows = p.padding;
    for (int n : p.lengths) {
      rows += n;
      starts.push_back(starts.back() + n);
      for (int i = 1; p.dropped && i < n; ++i) patches.push_back(int(random() % unsigned(p.grid * p.grid)));
    }
    leading = p.packed ? shape{rows} : shape{int64_t(p.lengths.size()), p.lengths[0]};
    width = p.heads * p.head_dim;
    qkv = {type, append(leading, 3 * width), random, 1};
    dout = {type, append(leading, width), random, 1};
    for (int y = 0; y < p.grid; ++y)
      for (int k = 0; k < p.head_dim / 4; ++k) {
        const double angle = 1.3 * y * std::pow(100.0, -4.0 * k / p.head_dim);
        rope.set((y * (p.head_dim / 4) + k) * 2, float(std::cos(angle)));
        rope.set((y * (p.head_dim / 4) + k) * 2 + 1, float(std::sin(angle)));
      }
  }
  template <class Args> Args args(const problem& p) {
    Args a;
    a.qkv = qkv;
    a.heads = p.heads;
    a.causal = p.causal;
    if (p.packed) a.cu_seqlens = view(starts, {int64_t(starts.size())});
    if (p.grid) a.rope = rope;
    if (p.dropped) a.positions = view(patches, {leading[0], leading[1] - 1});
    return a;
  }

  std::mt19937 random{7};
  shape leading;
  int width = 0;
  buffer qkv, dout, rope;
  std::vector<int32_t> starts{0}, patches;
};

/// dqkv_sums against the column sums of the dqkv that the same kernels stored.
void sums_agree(const ops::attention_backward::args& args, const std::string& what) {
  owned_args<ops::attention_backward> actual(args, {});
  cuda::device::reverse_order(false);
  run<ops::attention_backward>(actual.all, device_context());
  cuda::device::synchronize(device_context().stream);
  const tensor &dqkv = actual.all.dqkv, &sums = actual.all.dqkv_sums;
  for (int64_t column = 0; column < sums.size(); ++column) {
    double sum = 0, magnitude = 1e-30;
    for (int64_t i = column; i < dqkv.size(); i += sums.size()) {
      sum += float_at(dqkv, i);
      magnitude += std::abs(float_at(dqkv, i));
    }
    check_error(std::abs(float_at(sums, column) - sum) / magnitude, 1e-6,
                what + ": the distance of dqkv_sums[" + std::to_string(column) + "]");
  }
}

void both_ways(const problem& p, dtype type) {
  inputs in(p, type);
  // Rotated queries and keys, probabilities and their gradients are rounded to bf16.
  comparison within{.f32 = type == dtype::f32 ? 1e-5 : 1e-3, .bf16 = 8e-3, .inexactness = p.grid ? 2.5 : 1.8};
  auto forward = in.args<ops::attention::args>(p);
  agree<ops::attention>(forward, "attention, " + describe(p, type), within);

  ops::attention::infer(forward);
  buffer out(type, forward.out.dims), log_sum(dtype::f32, forward.log_sum.dims);
  forward.out = out;
  forward.log_sum = log_sum;
  run<ops::attention>(reference_backend(), forward);
  auto backward = in.args<ops::attention_backward::args>(p);
  backward.dout = in.dout;
  backward.out = out;
  backward.log_sum = log_sum;
  within.unspecified = {"dqkv_sums"};  // sums of rounded elements
  agree<ops::attention_backward>(backward, "attention_backward, " + describe(p, type), within);
  sums_agree(backward, "attention_backward, " + describe(p, type));
}

void unread_outputs() {
  const problem p{.lengths = {20}, .heads = 2, .head_dim = 64};
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    inputs in(p, type);
    for (const char* name : {"out", "log_sum"})
      agree<ops::attention>(in.args<ops::attention::args>(p), std::string("attention without ") + name,
                            {.f32 = 1e-4, .bf16 = 8e-3, .inexactness = 1.8, .unread = {name}});
  }
}

}  // namespace
}  // namespace eva::test

int main(int arguments, char**) {
  using namespace eva::test;
  using eva::dtype;
  const std::vector<problem> small{
      {.lengths = {1}, .heads = 1, .head_dim = 64},
      {.lengths = {0, 0}, .heads = 1, .head_dim = 64},
      {.lengths = {18, 18}, .heads = 2, .head_dim = 64, .causal = true},
      {.lengths = {17}, .heads = 3, .head_dim = 16, .grid = 4},
      {.lengths = {10, 10}, .heads = 1, .head_dim = 64, .grid = 5, .dropped = true},
      {.lengths = {21}, .heads = 2, .head_dim = 88, .grid = 5, .dropped = true},
      {.lengths = {37}, .heads = 1, .head_dim = 22, .causal = true},
      // More heads than blocks, so that a block processes several tiles of queries.
      {.lengths = {70}, .heads = 7, .head_dim = 16},
      {.lengths = {5, 0, 18, 33}, .heads = 2, .head_dim = 64, .causal = true, .packed = true, .padding = 9},
      {.lengths = {19, 3}, .heads = 1, .head_dim = 112, .causal = true, .packed = true, .padding = 1},
  };
  const std::vector<problem> large{
      // Every size of the resident kernels, then lengths of the streaming ones.
      {.lengths = {77}, .heads = 1, .head_dim = 64, .causal = true},
      {.lengths = {99}, .heads = 1, .head_dim = 64, .grid = 14, .dropped = true},
      {.lengths = {129}, .heads = 1, .head_dim = 64, .grid = 16, .dropped = true},
      {.lengths = {130}, .heads = 1, .head_dim = 64, .causal = true},
      {.lengths = {197}, .heads = 1, .head_dim = 64, .grid = 14},
      {.lengths = {257}, .heads = 1, .head_dim = 64, .grid = 16},
      {.lengths = {289}, .heads = 1, .head_dim = 64, .grid = 24, .dropped = true},
      {.lengths = {310}, .heads = 1, .head_dim = 64, .causal = true},
      {.lengths = {129}, .heads = 1, .head_dim = 88, .grid = 16, .dropped = true},
      {.lengths = {130}, .heads = 1, .head_dim = 112},
      {.lengths = {120}, .heads = 1, .head_dim = 128, .causal = true},
      {.lengths = {150}, .heads = 1, .head_dim = 128},
      {.lengths = {100, 30, 80, 81},
       .heads = 1,
       .head_dim = 64,
       .causal = true,
       .packed = true,
       .padding = 3},
      {.lengths = {90}, .heads = 1, .head_dim = 88, .packed = true},
  };
  const bool only_small = arguments > 1;  // the large ones take most of the time
  for (const problem& p : small)
    for (const dtype type : {dtype::f32, dtype::bf16}) both_ways(p, type);
  for (const problem& p : large)
    if (!only_small) both_ways(p, dtype::bf16);
  unread_outputs();
  return status();
}
