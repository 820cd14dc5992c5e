// The optimizers against published golden values and double-precision formulas.
#include "ops/optimizer.h"

#include "op_test.h"

namespace {

using namespace eva;
using namespace eva::test;

/// Tensors of an update, and the reference in double precision.
struct problem {
  std::vector<buffer> parameters, gradients, first_moments, second_moments;
  std::vector<float> learning_rates, weight_decays, adapt;
  std::vector<buffer> copies;  // bf16; every other parameter has one
  buffer norm{dtype::f32, {}}, step{dtype::f32, {}};
  std::vector<std::vector<double>> p, g, m, v;

  void add(const buffer& parameter, const buffer& gradient, float learning_rate, float weight_decay,
           float adapts = 1) {
    parameters.push_back(parameter);
    gradients.push_back(gradient);
    first_moments.emplace_back(dtype::f32, shape{parameter.size()});
    second_moments.emplace_back(dtype::f32, shape{parameter.size()});
    copies.emplace_back(dtype::bf16, shape{parameter.size()}, NAN);
    learning_rates.push_back(learning_rate);
    weight_decays.push_back(weight_decay);
    adapt.push_back(adapts);
    p.emplace_back();
    for (int64_t i = 0; i < parameter.size(); ++i) p.back().push_back(parameter[i]);
    g.emplace_back(p.back().size());
    m.emplace_back(p.back().size());
    v.emplace_back(p.back().size());
  }

  template <class Args> Args args() {
    Args a;
    auto views = [](std::vector<buffer>& list) {
      tensors all;
      for (buffer& b : list) all.push_back(tensor{dtype::f32, {b.size()}, tensor(b).data});
      return all;
    };
    a.parameters = views(parameters);
    a.gradients = views(gradients);
    a.first_moments = views(first_moments);
    a.second_moments = views(second_moments);
    for (size_t n = 0; n < copies.size(); ++n)
      a.copies.push_back(n % 2 ? tensor{} : tensor{dtype::bf16, {copies[n].size()}, tensor(copies[n]).data});
    a.norm = norm;
    a.learning_rates = {dtype::f32, {int64_t(learning_rates.size())}, learning_rates.data()};
    a.step = step;
    a.step.type = dtype::i32;
    a.weight_decays = weight_decays;
    return a;
  }
  void set_step(int32_t t) { *tensor(step).as<int32_t>() = t; }
};

float norm_of(backend& on, std::vector<buffer>& gradients) {
  buffer norm(dtype::f32, {}, NAN);
  ops::global_norm::args a;
  for (buffer& gradient : gradients) a.gradients.push_back(gradient);
  ops::global_norm::infer(a);
  a.norm = norm;
  run<ops::global_norm>(on, a);
  return norm[0];
}

constexpr double beta1 = 0.9f, beta2 = 0.98f, eps = 1e-6f;

/// Advances the moments of tensor n and returns its u.
std::vector<double> direction(problem& q, size_t n, int t, double clip, bool corrects) {
  std::vector<double> u;
  for (size_t i = 0; i < q.p[n].size(); ++i) {
    const double g = q.gradients[n][int64_t(i)] * clip;
    double &m = q.m[n][i], &v = q.v[n][i];
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const double mc = corrects ? m / (1 - std::pow(beta1, t)) : m;
    const double vc = corrects ? v / (1 - std::pow(beta2, t)) : v;
    u.push_back(mc / (std::sqrt(vc) + eps) + q.weight_decays[n] * q.p[n][i]);
  }
  return u;
}

double length(const std::vector<double>& x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return std::sqrt(sum);
}

/// Enough tensors of odd sizes for several parts per tensor and several tensors per part of a thread.
problem random_problem() {
  std::mt19937 random(9);
  problem q;
  const std::vector<int64_t> sizes = {1, 7, 768, 40000, 16384, 1500000, 16385, 3, 64};
  for (size_t n = 0; n < sizes.size(); ++n) {
    const shape dims = {sizes[n]};
    q.add(buffer(dtype::f32, dims, random, n == 2 ? 0.0f : 0.02f),
          buffer(dtype::f32, dims, random, n == 4 ? 0.0f : 0.1f), 1e-2f * float(n + 1), n % 2 ? 0.05f : 0.0f,
          n == 3 ? 0.0f : 1.0f);
  }
  return q;
}

void compare(problem& q, const std::string& what) {
  for (size_t n = 0; n < q.p.size(); ++n) {
    const std::string which = what + ", tensor " + std::to_string(n);
    check(relative_error(q.parameters[n], q.p[n], 0.02) < 2e-6, which + ": parameters");
    check(relative_error(q.first_moments[n], q.m[n], 1e-6) < 1e-6, which + ": first moments");
    check(relative_error(q.second_moments[n], q.v[n], 1e-9) < 1e-6, which + ": second moments");
    bool rounded = true;
    for (int64_t i = 0; i < q.copies[n].size() && n % 2 == 0; ++i)
      rounded = rounded && q.copies[n][i] == float(bf16(q.parameters[n][i]));
    check(rounded, which + ": copies");
  }
}

void test_lamb(backend& on, const std::string& where, ops::lamb_variant variant) {
  const bool deepspeed = variant == ops::lamb_variant::deepspeed;
  const std::string what =
      where + " LAMB " + std::string(ops::enum_names<ops::lamb_variant>[size_t(variant)]);
  problem q = random_problem();
  q.norm.set(0, norm_of(on, q.gradients));
  auto a = q.args<ops::lamb_update::args>();
  a.adapt = q.adapt;
  a.clip_norm = 5;
  a.variant = variant;
  ops::lamb_update::infer(a);
  buffer ratios(dtype::f32, a.trust_ratios.dims, NAN), partials(dtype::f32, a.partials.dims, NAN);
  a.trust_ratios = ratios;
  a.partials = partials;
  const auto update = prepare<ops::lamb_update>(on, a);
  for (int t = 1; t <= 3; ++t) {
    q.set_step(t);
    for (float& rate : q.learning_rates) rate *= 0.5f;
    update->run();
    const double clip = std::min(1.0, 5 / (double(q.norm[0]) + 1e-6));
    for (size_t n = 0; n < q.p.size(); ++n) {
      const std::vector<double> u = direction(q, n, t, clip, !deepspeed);
      double ratio = length(q.p[n]) > 0 && length(u) > 0 && q.adapt[n] != 0 ? length(q.p[n]) / length(u) : 1;
      if (deepspeed && q.adapt[n] != 0 && length(q.p[n]) > 0 && length(u) > 0)
        ratio = std::clamp(ratio, 0.01, 10.0);
      check(std::abs(ratios[int64_t(n)] / ratio - 1) < 2e-6, what + ": trust ratio " + std::to_string(n));
      const double bias = deepspeed ? std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t)) : 1;
      for (size_t i = 0; i < u.size(); ++i) q.p[n][i] -= q.learning_rates[n] * bias * ratio * u[i];
    }
    compare(q, what + " step " + std::to_string(t));
  }
  // A norm that is not finite changes nothing.
  for (float norm : {NAN, INFINITY}) {
    const problem before = q;
    q.norm.set(0, norm);
    update->run();
    check(q.parameters == before.parameters && q.first_moments == before.first_moments &&
              q.second_moments == before.second_moments && q.copies[0] == before.copies[0] &&
              q.copies[2] == before.copies[2],
          what + " of a norm that is not finite");
  }
}

void test_adamw(backend& on, const std::string& where) {
  problem q = random_problem();
  q.norm.set(0, norm_of(on, q.gradients));
  auto a = q.args<ops::adamw_update::args>();
  a.clip_norm = 1;
  ops::adamw_update::infer(a);
  const auto update = prepare<ops::adamw_update>(on, a);
  for (int t = 1; t <= 3; ++t) {
    q.set_step(t);
    for (float& rate : q.learning_rates) rate *= 0.5f;
    update->run();
    const double clip = std::min(1.0, 1 / (double(q.norm[0]) + 1e-6));
    for (size_t n = 0; n < q.p.size(); ++n) {
      const std::vector<double> u = direction(q, n, t, clip, true);
      for (size_t i = 0; i < u.size(); ++i) q.p[n][i] -= q.learning_rates[n] * u[i];
    }
    compare(q, where + " AdamW step " + std::to_string(t));
  }
  const problem before = q;
  q.norm.set(0, NAN);
  update->run();
  check(q.parameters == before.parameters && q.first_moments == before.first_moments,
        where + " AdamW of a norm that is not finite");
}

/// The bits depend neither on the number of threads nor on the copies.
void test_threads(const std::string& name) {
  std::vector<buffer> expected;
  for (const int threads : {1, 2, 3, 5}) {
    const auto on = cpu::open(threads, name);
    on->enter_thread();
    problem q = random_problem();
    q.norm.set(0, norm_of(*on, q.gradients));
    q.set_step(1);
    auto a = q.args<ops::lamb_update::args>();
    a.adapt = q.adapt;
    if (threads > 1) a.copies.clear();
    ops::lamb_update::infer(a);
    buffer ratios(dtype::f32, a.trust_ratios.dims), partials(dtype::f32, a.partials.dims);
    a.trust_ratios = ratios;
    a.partials = partials;
    run<ops::lamb_update>(*on, a);
    q.parameters.push_back(q.norm);
    q.parameters.push_back(ratios);
    if (expected.empty()) expected = q.parameters;
    check(q.parameters == expected, name + " LAMB on " + std::to_string(threads) + " threads");
  }
}

/// Two steps on one tensor, computed with DeepSpeed's FusedLamb and timm's Lamb.
void test_golden(backend& on, const std::string& where) {
  struct golden {
    ops::lamb_variant variant;
    float ratios[2];
    std::vector<double> parameters[2];
  };
  const golden expected[] = {
      {ops::lamb_variant::deepspeed,
       {1.52702029f, 2.21106417f},
       {{0.48419099, -0.2344604, 0.98365039, 1.98257053}, {0.48479402, -0.22828318, 0.96101702, 1.97829728}}},
      {ops::lamb_variant::paper,
       {1.10028294f, 2.1241696f},
       {{0.48872221, -0.23885969, 0.98844707, 1.98789692},
        {0.48932112, -0.23293222, 0.96674724, 1.98388563}}}};
  const std::vector<float> gradients[] = {{.1f, -.2f, .3f, .4f}, {-.1f, .1f, .2f, -.3f}};
  for (const golden& g : expected) {
    problem q;
    q.add(buffer({4}, {.5f, -.25f, 1, 2}), buffer(dtype::f32, {4}), 0.01f, 0.05f);
    auto a = q.args<ops::lamb_update::args>();
    a.adapt = q.adapt;
    a.variant = g.variant;
    a.copies.clear();
    ops::lamb_update::infer(a);
    buffer ratios(dtype::f32, {1}), partials(dtype::f32, {1, 2});
    a.trust_ratios = ratios;
    a.partials = partials;
    for (int t = 0; t < 2; ++t) {
      for (int64_t i = 0; i < 4; ++i) q.gradients[0].set(i, gradients[t][size_t(i)]);
      q.set_step(t + 1);
      run<ops::lamb_update>(on, a);
      const std::string what =
          where + " golden LAMB " + std::string(ops::enum_names<ops::lamb_variant>[size_t(g.variant)]);
      check(std::abs(ratios[0] / g.ratios[t] - 1) < 1e-6f, what + ": trust ratio");
      check(relative_error(q.parameters[0], g.parameters[t]) < 2e-7, what + ": parameters");
    }
  }
}

void test_norm(backend& on, const std::string& where) {
  std::mt19937 random(1);
  std::vector<buffer> gradients;
  double square = 0;
  for (int64_t size : {1, 15, 16385, 100001}) {
    gradients.emplace_back(dtype::f32, shape{size}, random, 3.0f);
    for (int64_t i = 0; i < size; ++i) square += double(gradients.back()[i]) * gradients.back()[i];
  }
  check(std::abs(norm_of(on, gradients) / std::sqrt(square) - 1) < 1e-7, where + " norm");
  // Squares beyond the range of single precision.
  std::vector<buffer> large = {buffer(dtype::f32, {100}, 1e25f)}, small = {buffer(dtype::f32, {100}, 1e-25f)};
  check(std::abs(norm_of(on, large) / 1e26f - 1) < 1e-6f, where + " norm of large gradients");
  check(std::abs(norm_of(on, small) / 1e-24f - 1) < 1e-6f, where + " norm of small gradients");
  gradients[3].set(100000, INFINITY);
  check(std::isinf(norm_of(on, gradients)), where + " norm of an infinite gradient");
  gradients[0].set(0, NAN);
  check(std::isnan(norm_of(on, gradients)), where + " norm of NaN");
}

void test_clamp(backend& on, const std::string& where) {
  buffer parameter({5}, {-1, 0, 3, 4.605170f, 9});
  ops::clamp_update::args a;
  a.parameters.push_back(parameter);
  a.maximum = 4.605170f;
  ops::clamp_update::infer(a);
  run<ops::clamp_update>(on, a);
  check(parameter == buffer({5}, {0, 0, 3, 4.605170f, 4.605170f}), where + " clamp");
}

void test_ema(backend& on, const std::string& where) {
  problem q = random_problem();
  ops::ema_update::args a;
  std::vector<std::vector<double>> expected;
  for (size_t n = 0; n < q.p.size(); ++n) {
    a.averages.push_back(q.first_moments[n]);
    a.parameters.push_back(q.parameters[n]);
    expected.emplace_back(q.p[n].size());
  }
  q.norm.set(0, 1);
  a.norm = q.norm;
  a.decay = 0.98f;
  ops::ema_update::infer(a);
  const auto update = prepare<ops::ema_update>(on, a);
  for (int t = 1; t <= 3; ++t) {
    for (size_t n = 0; n < q.p.size(); ++n) {
      q.parameters[n].set(0, float(t));
      q.p[n][0] = t;
      for (size_t i = 0; i < q.p[n].size(); ++i)
        expected[n][i] += (1 - double(a.decay)) * (q.p[n][i] - expected[n][i]);
    }
    update->run();
    for (size_t n = 0; n < q.p.size(); ++n)
      check(relative_error(q.first_moments[n], expected[n], 1e-6) < 1e-6,
            where + " EMA step " + std::to_string(t) + ", tensor " + std::to_string(n));
  }
  const std::vector<buffer> before = q.first_moments;
  for (const float norm : {NAN, INFINITY}) {
    q.norm.set(0, norm);
    update->run();
    check(q.first_moments == before, where + " EMA of a norm that is not finite");
  }
}

void test_all(backend& on, const std::string& where) {
  test_norm(on, where);
  test_golden(on, where);
  for (auto variant : {ops::lamb_variant::paper, ops::lamb_variant::apex, ops::lamb_variant::deepspeed})
    test_lamb(on, where, variant);
  test_adamw(on, where);
  test_clamp(on, where);
  test_ema(on, where);
  test_threads(where);
}

}  // namespace

int main() { return on_each_instruction_set(2, test_all); }
