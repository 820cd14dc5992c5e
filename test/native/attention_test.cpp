// Attention and its gradient against double-precision formulas, for every instruction set of this processor.
#include "ops/attention.h"

#include <limits>
#include <numeric>

#include "op_test.h"

namespace eva::test {
namespace {

using numbers = std::vector<double>;

struct problem {
  std::vector<int> lengths;  // sequence lengths; all equal unless packed
  int heads, head_dim;
  bool packed = false, causal = false;
  int grid = 0;         // G of the RoPE table; 0: no RoPE
  bool chosen = false;  // with positions
  int padding = 0;      // packed rows that belong to no sequence
  dtype type = dtype::f32;
  float size = 1;  // of the inputs
};

std::string describe(const problem& p) {
  std::string text = "lengths";
  for (int n : p.lengths) text += " " + std::to_string(n);
  return text + ", " + std::to_string(p.heads) + " heads of " + std::to_string(p.head_dim) +
         (p.packed ? ", packed" : "") + (p.causal ? ", causal" : "") + (p.grid ? ", rope" : "") +
         (p.chosen ? ", positions" : "") + ", " + std::string(to_string(p.type));
}

struct inputs {
  explicit inputs(const problem& p)
      : rows(std::accumulate(p.lengths.begin(), p.lengths.end(), 0) + p.padding),
        width(p.heads * p.head_dim),
        random(7),
        qkv(p.type, leading_dims(p, 3 * width), random, p.size),
        dout(p.type, leading_dims(p, width), random, 1),
        rope(dtype::f32, {p.grid, p.head_dim / 4, 2}) {
    for (int y = 0; y < p.grid; ++y)
      for (int k = 0; k < p.head_dim / 4; ++k) {
        const double angle = 1.3 * y * std::pow(100.0, -4.0 * k / p.head_dim);
        rope.set((y * (p.head_dim / 4) + k) * 2, float(std::cos(angle)));
        rope.set((y * (p.head_dim / 4) + k) * 2 + 1, float(std::sin(angle)));
      }
    for (size_t b = 0; b < p.lengths.size(); ++b) {
      starts.push_back(starts.back() + p.lengths[b]);
      for (int i = 1; p.chosen && i < p.lengths[b]; ++i)
        patches.push_back(int(random() % unsigned(p.grid * p.grid)));
    }
  }
  shape leading_dims(const problem& p, int columns) const {
    if (p.packed) return {rows, columns};
    return {int64_t(p.lengths.size()), p.lengths[0], columns};
  }
  /// The tensors shared by forward and backward.
  template <class Args> Args args(const problem& p) {
    Args a;
    a.qkv = qkv;
    a.heads = p.heads;
    a.causal = p.causal;
    if (p.packed) a.cu_seqlens = {dtype::i32, {int64_t(starts.size())}, starts.data()};
    if (p.grid) a.rope = rope;
    if (p.chosen) a.positions = {dtype::i32, {int64_t(p.lengths.size()), p.lengths[0] - 1}, patches.data()};
    return a;
  }

  int rows, width;
  std::mt19937 random;
  buffer qkv, dout, rope;
  std::vector<int32_t> starts{0}, patches;
};

/// The reference, one head at a time.
class reference {
 public:
  reference(const problem& p, const inputs& in) : p_(p), in_(in) {
    out.resize(size_t(in.rows * in.width));
    log_sum.resize(size_t(in.rows * p.heads));
    dqkv.resize(size_t(in.rows * in.width * 3));
    for (size_t b = 0; b < p.lengths.size(); ++b)
      for (int h = 0; h < p.heads; ++h) head(int(b), h);
  }
  numbers out, log_sum, dqkv;

 private:
  /// Rows of q, k or v (part 0, 1, 2), with RoPE applied to q and k.
  numbers rows_of(int b, int h, int part) const {
    const int n = p_.lengths[b], d = p_.head_dim;
    numbers x(n * d);
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < d; ++j) x[i * d + j] = in_.qkv[qkv_at(b, h, part, i, j)];
      if (part < 2) rotate(&x[i * d], b, i, 1);
    }
    return x;
  }
  int64_t qkv_at(int b, int h, int part, int i, int j) const {
    return int64_t(in_.starts[b] + i) * in_.width * 3 + part * in_.width + h * p_.head_dim + j;
  }
  void rotate(double* x, int b, int token, int direction) const {
    if (!p_.grid || token == 0) return;
    const int patch = p_.chosen ? in_.patches[b * (p_.lengths[0] - 1) + token - 1] : token - 1;
    const int d = p_.head_dim;
    for (int j = 0; j < d; j += 2) {
      const int coordinate = j < d / 2 ? patch / p_.grid : patch % p_.grid, k = j % (d / 2) / 2;
      const double c = in_.rope[(coordinate * (d / 4) + k) * 2];
      const double s = in_.rope[(coordinate * (d / 4) + k) * 2 + 1] * direction, even = x[j], odd = x[j + 1];
      x[j] = even * c - odd * s;
      x[j + 1] = odd * c + even * s;
    }
  }
  void head(int b, int h) {
    const int n = p_.lengths[b], d = p_.head_dim;
    const numbers q = rows_of(b, h, 0), k = rows_of(b, h, 1), v = rows_of(b, h, 2);
    numbers dq(q.size()), dk(q.size()), dv(q.size()), p(n, 0.0), dp(n, 0.0);
    const double scale = 1 / std::sqrt(double(d));
    const auto dot = [d](const double* x, const double* y) { return std::inner_product(x, x + d, y, 0.0); };
    for (int i = 0; i < n; ++i) {
      const int seen = p_.causal ? i + 1 : n, row = in_.starts[b] + i;
      double peak = -std::numeric_limits<double>::infinity(), sum = 0, delta = 0;
      for (int j = 0; j < seen; ++j) peak = std::max(peak, p[j] = scale * dot(&q[i * d], &k[j * d]));
      for (int j = 0; j < seen; ++j) sum += p[j] = std::exp(p[j] - peak);
      log_sum[row * p_.heads + h] = peak + std::log(sum);
      numbers g(d);
      for (int c = 0; c < d; ++c) g[c] = in_.dout[int64_t(row) * in_.width + h * d + c];
      for (int j = 0; j < seen; ++j) {
        p[j] /= sum;
        dp[j] = dot(g.data(), &v[j * d]);
        delta += p[j] * dp[j];
      }
      for (int j = 0; j < seen; ++j) {
        const double probability = p[j], ds = scale * probability * (dp[j] - delta);
        for (int c = 0; c < d; ++c) {
          out[row * in_.width + h * d + c] += probability * v[j * d + c];
          dv[j * d + c] += probability * g[c];
          dq[i * d + c] += ds * k[j * d + c];
          dk[j * d + c] += ds * q[i * d + c];
        }
      }
    }
    for (int i = 0; i < n; ++i) {
      rotate(&dq[i * d], b, i, -1);
      rotate(&dk[i * d], b, i, -1);
      for (int j = 0; j < d; ++j) {
        dqkv[qkv_at(b, h, 0, i, j)] = dq[i * d + j];
        dqkv[qkv_at(b, h, 1, i, j)] = dk[i * d + j];
        dqkv[qkv_at(b, h, 2, i, j)] = dv[i * d + j];
      }
    }
  }

  const problem& p_;
  const inputs& in_;
};

struct results {
  results(const problem& p, inputs& in, backend& on)
      : out(p.type, in.leading_dims(p, in.width), NAN),
        log_sum(dtype::f32, in.leading_dims(p, p.heads), NAN),
        dqkv(p.type, in.leading_dims(p, 3 * in.width), NAN) {
    auto forward = in.args<ops::attention::args>(p);
    ops::attention::infer(forward);
    forward.out = out;
    forward.log_sum = log_sum;
    run<ops::attention>(on, forward);
    auto backward = in.args<ops::attention_backward::args>(p);
    backward.dout = in.dout;
    backward.out = out;
    backward.log_sum = log_sum;
    ops::attention_backward::infer(backward);
    backward.dqkv = dqkv;
    run<ops::attention_backward>(on, backward);
  }
  buffer out, log_sum, dqkv;
};

void agrees(backend& on, const problem& p) {
  inputs in(p);
  const reference expected(p, in);
  const results actual(p, in, on);
  const bool half = p.type == dtype::bf16;
  const double out = relative_error(actual.out, expected.out);
  const double log_sum = relative_error(actual.log_sum, expected.log_sum);
  const double dqkv = relative_error(actual.dqkv, expected.dqkv);
  char errors[100];
  std::snprintf(errors, sizeof errors, ": out %.2g, log_sum %.2g, dqkv %.2g", out, log_sum, dqkv);
  check(out <= (half ? 3e-3 : 1e-5) && log_sum <= 1e-5 && dqkv <= (half ? 6e-3 : 2e-5),
        on.info().instruction_set + ": " + describe(p) + errors);
}

bool zero_from(const buffer& values, int64_t first) {
  for (int64_t i = first; i < values.size(); ++i)
    if (values[i] != 0) return false;
  return true;
}

void padding_becomes_zero(backend& on) {
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    const problem p{{5, 0, 18}, 2, 22, true, true, 0, false, 9, type};
    inputs in(p);
    const results actual(p, in, on);
    check(zero_from(actual.out, 23 * 44) && zero_from(actual.log_sum, 23 * 2) &&
              zero_from(actual.dqkv, 23 * 132),
          "padding must be zero");
  }
}

void threads_do_not_matter() {
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    const problem p{{77, 2, 31, 0, 50}, 3, 64, true, true, 0, false, 7, type};
    inputs in(p);
    const results one(p, in, *cpu::open(1, "")), two(p, in, *cpu::open(2, ""));
    check(one.out == two.out && one.dqkv == two.dqkv, "one thread and two must give the same bits");
  }
}

void unread_outputs_are_skipped(backend& on) {
  const problem p{{20, 20}, 2, 16};
  inputs in(p);
  auto a = in.args<ops::attention::args>(p);
  ops::attention::infer(a);
  buffer out(p.type, in.leading_dims(p, in.width), NAN);
  a.out = out;
  run<ops::attention>(on, a);
  check(relative_error(out, reference(p, in).out) < 2e-6, "out without log_sum");
}

void expect_data_error(const std::string& what, const std::function<void()>& body) {
  try {
    body();
    check(false, what + " must be refused");
  } catch (const data_error&) {
  }
}

void bad_indices_are_refused(backend& on) {
  for (const std::vector<int32_t>& starts :
       {std::vector<int32_t>{0, 5, 3, 10}, {0, 5, 9, 11}, {1, 5, 9, 10}, {0, -1, 9, 10}}) {
    const problem p{{5, 4, 1}, 1, 16, true};
    inputs in(p);
    in.starts = starts;
    expect_data_error("cu_seqlens", [&] { results(p, in, on); });
  }
  for (int patch : {-1, 9}) {
    const problem p{{6, 6}, 1, 16, false, false, 3, true};
    inputs in(p);
    in.patches[7] = patch;
    expect_data_error("positions", [&] { results(p, in, on); });
  }
}

void test_head_dims(backend& on, dtype type) {
  for (int d : {16, 22, 28, 64, 88, 112, 128}) {
    const bool rope = d % 4 == 0;
    agrees(on, {{17, 17}, 2, d, false, false, rope ? 4 : 0, false, 0, type});
    agrees(on, {{30, 30}, 3, d, false, false, rope ? 6 : 0, rope, 0, type});
    agrees(on, {{1, 18, 0, 77, 33}, 2, d, true, true, 0, false, 9, type});
  }
}

void test_lengths(backend& on, dtype type) {
  for (int n : {1, 2, 17, 28, 29, 32, 33, 77, 99, 129, 197, 257, 577}) {
    agrees(on, {{n}, 1, 64, false, false, 0, false, 0, type});
    agrees(on, {{n}, 1, 24, false, true, 0, false, 0, type});
    agrees(on, {{n, n / 2}, 1, 64, true, false, 0, false, 3, type});
  }
  agrees(on, {{197, 197}, 3, 64, false, false, 14, false, 0, type});
  agrees(on, {{99, 99}, 2, 64, false, false, 14, true, 0, type});
  agrees(on, {{0, 0, 0}, 2, 16, true, true, 0, false, 4, type});
}

void test_large_scores(backend& on) {
  agrees(on, {{65, 65}, 2, 64, false, false, 0, false, 0, dtype::f32, 8});
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  threads_do_not_matter();
  return on_each_instruction_set(2, [](eva::backend& on, const std::string&) {
    test_head_dims(on, eva::dtype::f32);
    test_head_dims(on, eva::dtype::bf16);
    test_lengths(on, eva::dtype::f32);
    test_lengths(on, eva::dtype::bf16);
    test_large_scores(on);
    padding_becomes_zero(on);
    unread_outputs_are_skipped(on);
    bad_indices_are_refused(on);
  });
}
