// Attention and its gradient against double-precision formulas, for every instruction set of this processor.
#include "ops/attention.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "cpu/dispatch/backend.h"
#include "ops/all_ops.h"

namespace {

using namespace eva;
int failures = 0;

void check(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

template <class Op, class... Ops> int position_in(ops::op_list<Ops...>) {
  int i = 0;
  (void)((std::is_same_v<Op, Ops> || (++i, false)) || ...);
  return i;
}

template <class Op> void run(backend& on, const typename Op::args& args) {
  on.prepare(position_in<Op>(ops::all_ops{}), &args)->run();
}

struct problem {
  std::vector<int> lengths;  // of the sequences; all equal unless packed
  int heads, head_dim;
  bool packed = false, causal = false;
  int grid = 0;         // of the rotary table; 0 for none
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

/// Host memory of a tensor, exactly as large as the tensor, with the numbers of it.
class buffer {
 public:
  buffer(dtype type, shape dims) : bytes_(size_t(element_count(dims) * size_of(type)), char(0xff)) {
    view_ = {type, std::move(dims), bytes_.data()};
  }
  double operator[](int64_t i) const {
    if (view_.type == dtype::bf16) return double(float(view_.as<bf16>()[i]));
    return double(view_.as<float>()[i]);
  }
  void set(int64_t i, double value) {
    if (view_.type == dtype::bf16)
      view_.as<bf16>()[i] = bf16(float(value));
    else
      view_.as<float>()[i] = float(value);
  }
  void fill(std::mt19937& random, float size) {
    std::normal_distribution<float> normal(0, size);
    for (int64_t i = 0; i < view_.size(); ++i) set(i, double(normal(random)));
  }
  const tensor& view() const { return view_; }

 private:
  std::vector<char> bytes_;
  tensor view_;
};

using numbers = std::vector<double>;

double distance(const buffer& actual, const numbers& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = actual[int64_t(i)] - expected[i];
    difference += d * d;
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / (size + 1e-30));
}

struct inputs {
  explicit inputs(const problem& p)
      : rows(std::accumulate(p.lengths.begin(), p.lengths.end(), 0) + p.padding),
        width(p.heads * p.head_dim),
        qkv(p.type, leading_dims(p, 3 * width)),
        dout(p.type, leading_dims(p, width)),
        rope(dtype::f32, {p.grid, p.head_dim / 4, 2}) {
    std::mt19937 random(7);
    qkv.fill(random, p.size);
    dout.fill(random, 1);
    for (int y = 0; y < p.grid; ++y)
      for (int k = 0; k < p.head_dim / 4; ++k) {
        const double angle = 1.3 * y * std::pow(100.0, -4.0 * k / p.head_dim);
        rope.set((y * (p.head_dim / 4) + k) * 2, std::cos(angle));
        rope.set((y * (p.head_dim / 4) + k) * 2 + 1, std::sin(angle));
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
  /// The tensors that forward and backward share.
  template <class Args> Args args(const problem& p) {
    Args a;
    a.qkv = qkv.view();
    a.heads = p.heads;
    a.causal = p.causal;
    if (p.packed) a.cu_seqlens = {dtype::i32, {int64_t(starts.size())}, starts.data()};
    if (p.grid) a.rope = rope.view();
    if (p.chosen) a.positions = {dtype::i32, {int64_t(p.lengths.size()), p.lengths[0] - 1}, patches.data()};
    return a;
  }

  int rows, width;
  buffer qkv, dout, rope;
  std::vector<int32_t> starts{0}, patches;
};

/// The formulas, one head at a time.
class reference {
 public:
  reference(const problem& p, inputs& in) : p_(p), in_(in) {
    out.resize(size_t(in.rows * in.width));
    log_sum.resize(size_t(in.rows * p.heads));
    dqkv.resize(size_t(in.rows * in.width * 3));
    for (size_t b = 0; b < p.lengths.size(); ++b)
      for (int h = 0; h < p.heads; ++h) head(int(b), h);
  }
  numbers out, log_sum, dqkv;

 private:
  /// Rows of q, k or v (part 0, 1, 2), rotated where they should be.
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
  explicit results(const problem& p, inputs& in, backend& on)
      : out(p.type, in.leading_dims(p, in.width)),
        log_sum(dtype::f32, in.leading_dims(p, p.heads)),
        dqkv(p.type, in.leading_dims(p, 3 * in.width)) {
    auto forward = in.args<ops::attention::args>(p);
    ops::attention::infer(forward);
    forward.out = out.view();
    forward.log_sum = log_sum.view();
    run<ops::attention>(on, forward);
    auto backward = in.args<ops::attention_backward::args>(p);
    backward.dout = in.dout.view();
    backward.out = out.view();
    backward.log_sum = log_sum.view();
    ops::attention_backward::infer(backward);
    backward.dqkv = dqkv.view();
    run<ops::attention_backward>(on, backward);
  }
  buffer out, log_sum, dqkv;
};

bool same_bits(const buffer& a, const buffer& b) {
  return std::memcmp(a.view().data, b.view().data, size_t(a.view().bytes())) == 0;
}

bool zero_from(const buffer& t, int64_t row) {
  for (int64_t i = row * t.view().columns(); i < t.view().size(); ++i)
    if (t[i] != 0.0) return false;
  return true;
}

void agrees(const problem& p, const std::vector<std::shared_ptr<backend>>& devices) {
  inputs in(p);
  const reference expected(p, in);
  const bool half = p.type == dtype::bf16;
  for (const auto& device : devices) {
    const results actual(p, in, *device);
    const double out = distance(actual.out, expected.out),
                 log_sum = distance(actual.log_sum, expected.log_sum);
    const double dqkv = distance(actual.dqkv, expected.dqkv);
    const bool good = out <= (half ? 3e-3 : 1e-5) && log_sum <= 1e-5 && dqkv <= (half ? 6e-3 : 2e-5);
    char errors[100];
    std::snprintf(errors, sizeof errors, ": out %.2g, log_sum %.2g, dqkv %.2g", out, log_sum, dqkv);
    const std::string what = device->info().instruction_set + ": " + describe(p) + errors;
    check(good, what);
    const int64_t end = in.starts.back();
    check(zero_from(actual.out, end) && zero_from(actual.log_sum, end) && zero_from(actual.dqkv, end),
          what + ": padding must be zero");
  }
}

void threads_do_not_matter() {
  const problem p{{77, 2, 31, 0, 50}, 3, 64, true, true, 0, false, 7};
  inputs in(p);
  const results one(p, in, *cpu::open(1, "")), two(p, in, *cpu::open(2, ""));
  check(same_bits(one.out, two.out) && same_bits(one.dqkv, two.dqkv),
        "one thread and two give the same bits");
}

void unread_outputs_are_skipped() {
  const problem p{{20, 20}, 2, 16};
  inputs in(p);
  auto a = in.args<ops::attention::args>(p);
  ops::attention::infer(a);
  buffer out(p.type, in.leading_dims(p, in.width));
  a.out = out.view();
  run<ops::attention>(*cpu::open(2, ""), a);
  check(distance(out, reference(p, in).out) < 2e-6, "out without log_sum");
}

void expect_data_error(const std::string& what, const std::function<void()>& body) {
  try {
    body();
    check(false, what + " must be refused");
  } catch (const data_error&) {
  }
}

void bad_indices_are_refused() {
  for (const std::vector<int32_t>& starts :
       {std::vector<int32_t>{0, 5, 3, 10}, {0, 5, 9, 11}, {1, 5, 9, 10}, {0, -1, 9, 10}}) {
    const problem p{{5, 4, 1}, 1, 16, true};
    inputs in(p);
    in.starts = starts;
    expect_data_error("cu_seqlens", [&] { results(p, in, *cpu::open(2, "")); });
  }
  for (int patch : {-1, 9}) {
    const problem p{{6, 6}, 1, 16, false, false, 3, true};
    inputs in(p);
    in.patches[7] = patch;
    expect_data_error("positions", [&] { results(p, in, *cpu::open(2, "")); });
  }
}

}  // namespace

int main() {
  std::vector<std::shared_ptr<backend>> devices;
  for (const char* set : {"v2", "v3", "v4", "generic"}) try {
      devices.push_back(cpu::open(2, set));
    } catch (const device_error&) {
      std::printf("skipped: %s\n", set);
    }
  check(!devices.empty(), "a kernel set");
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    for (int d : {16, 22, 28, 64, 88, 112, 128}) {
      const bool rope = d % 4 == 0;
      agrees({{17, 17}, 2, d, false, false, rope ? 4 : 0, false, 0, type}, devices);
      agrees({{30, 30}, 3, d, false, false, rope ? 6 : 0, rope, 0, type}, devices);
      agrees({{1, 18, 0, 77, 33}, 2, d, true, true, 0, false, 9, type}, devices);
    }
    for (int n : {1, 2, 17, 28, 29, 77, 99, 129, 197, 257, 577}) {
      agrees({{n}, 1, 64, false, false, 0, false, 0, type}, devices);
      agrees({{n}, 1, 24, false, true, 0, false, 0, type}, devices);
      agrees({{n, n / 2}, 1, 64, true, false, 0, false, 3, type}, devices);
    }
    agrees({{197, 197}, 3, 64, false, false, 14, false, 0, type}, devices);
    agrees({{99, 99}, 2, 64, false, false, 14, true, 0, type}, devices);
    agrees({{0, 0, 0}, 2, 16, true, true, 0, false, 4, type}, devices);
  }
  agrees({{65, 65}, 2, 64, false, false, 0, false, 0, dtype::f32, 8}, devices);  // scores of hundreds
  threads_do_not_matter();
  unread_outputs_are_skipped();
  bad_indices_are_refused();
  if (failures == 0) std::printf("ok\n");
  return failures != 0;
}
