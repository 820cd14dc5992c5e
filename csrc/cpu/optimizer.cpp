#include "cpu/optimizer.h"

#include <cmath>

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

tensor_parts::tensor_parts(const tensors& list, const context& c) {
  // A part with its gradient and moments fits in a core's L2 cache; a group with its moments, 24 MB, in the
  // L3 cache that cores share. Smaller groups would only add barriers.
  constexpr int64_t part_size = 16384, group_size = 2 << 20;
  size_t begin = 0;  // the first part of the group
  int64_t total = 0;
  const auto end_group = [&] {
    group& g = groups_.emplace_back();
    int64_t before = 0;
    for (size_t i = begin; i < parts_.size(); before += parts_[i++].count)
      while (before * c.threads >= total * int64_t(g.first.size())) g.first.push_back(i);
    g.first.resize(size_t(c.threads) + 1, parts_.size());
    begin = parts_.size();
    total = 0;
  };
  for (size_t i = 0; i < list.size(); ++i) {
    const int64_t size = list[i].size();
    if (total > 0 && total + size > group_size) end_group();
    total += size;
    first_of_.push_back(parts_.size());
    for (int64_t first = 0; first < size; first += part_size)
      parts_.push_back({i, first, std::min(part_size, size - first)});
  }
  if (total > 0) end_group();
}

namespace {

/// One register of doubles, and as many floats.
using double_vec [[gnu::vector_size(lanes * 4)]] = double;
using half_vec [[gnu::vector_size(lanes * 2)]] = float;

double square_sum(const float* x, int64_t count) {
  constexpr int64_t width = lanes / 2, chains = 4;
  // A page: the hardware prefetcher of a single stream stops at its end.
  constexpr int64_t ahead = 1024;
  double_vec sums[chains]{};
  int64_t i = 0;
  for (; i + chains * width <= count; i += chains * width) {
    for (int64_t line = 0; line < chains * width; line += 16) __builtin_prefetch(x + i + line + ahead, 0, 2);
    for (int64_t chain = 0; chain < chains; ++chain) {
      half_vec narrow;
      std::memcpy(&narrow, x + i + chain * width, sizeof narrow);
      const double_vec wide = __builtin_convertvector(narrow, double_vec);
      sums[chain] += wide * wide;
    }
  }
  const double_vec all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int64_t lane = 0; lane < width; ++lane) total += all[lane];
  for (; i < count; ++i) total += double(x[i]) * double(x[i]);
  return total;
}

/// The scalars of an update; csrc/ops/optimizer.h defines g, m, v and the direction u.
struct moment_rule {
  float clip, beta1, rest1, beta2, rest2, eps;
  double correction1, correction2;  // 1 - β1ᵗ, 1 - β2ᵗ
  float first_factor, second_factor;

  /// `corrects`: whether u uses bias-corrected moments.
  template <class Args> moment_rule(const Args& a, bool corrects) {
    const double norm = *a.norm.template as<float>(), step = *a.step.template as<int32_t>();
    clip = a.clip_norm > 0 ? float(std::min(1.0, a.clip_norm / (norm + 1e-6))) : 1.0f;
    beta1 = a.beta1;
    beta2 = a.beta2;
    rest1 = float(1.0 - double(beta1));
    rest2 = float(1.0 - double(beta2));
    eps = a.eps;
    correction1 = 1.0 - std::pow(double(beta1), step);
    correction2 = 1.0 - std::pow(double(beta2), step);
    first_factor = corrects ? float(1.0 / correction1) : 1.0f;
    second_factor = corrects ? float(1.0 / correction2) : 1.0f;
  }

  vec direction(vec m, vec v, vec p, float weight_decay) const {
    // Within the range of `reciprocal_sqrt`; NaN stays NaN.
    const vec square = minimum(broadcast(0x1p125f), maximum(broadcast(0x1p-125f), v * second_factor));
    return m * first_factor * reciprocal(square * reciprocal_sqrt(square) + eps) + weight_decay * p;
  }
};

/// Pointers to a part.
struct part_view {
  float *parameter, *first_moment, *second_moment;
  const float* gradient;
  bf16* copy;  // or null
  int64_t count;

  template <class Args> part_view(const Args& a, const tensor_parts::part& part) : count(part.count) {
    parameter = a.parameters[part.tensor].template as<float>() + part.begin;
    gradient = a.gradients[part.tensor].template as<float>() + part.begin;
    first_moment = a.first_moments[part.tensor].template as<float>() + part.begin;
    second_moment = a.second_moments[part.tensor].template as<float>() + part.begin;
    copy = a.copies.empty() || !a.copies[part.tensor].present()
               ? nullptr
               : a.copies[part.tensor].template as<bf16>() + part.begin;
  }

  template <class Width> void store_parameter(int64_t i, vec p, Width width) const {
    store(parameter + i, p, width);
    if (copy) store(copy + i, p, width);
  }

  /// Updates the moments of one vector of elements from i on and returns their u; `p` are the parameters.
  template <class Width>
  vec update_moments(const moment_rule& rule, int64_t i, Width width, vec p, float weight_decay) const {
    const vec g = load(gradient + i, width) * rule.clip;
    const vec m = load(first_moment + i, width) * rule.beta1 + g * rule.rest1;
    const vec v = load(second_moment + i, width) * rule.beta2 + g * g * rule.rest2;
    store(first_moment + i, m, width);
    store(second_moment + i, v, width);
    return rule.direction(m, v, p, weight_decay);
  }
};

}  // namespace

plan<ops::global_norm>::plan(const ops::global_norm::args& a, context& c)
    : args_(a), parts_(a.gradients, c), sums_(parts_.size()) {}

void plan<ops::global_norm>::run(context& c) {
  parts_.for_each(c, [&](size_t i) {
    const tensor_parts::part& part = parts_[i];
    sums_[i] = square_sum(args_.gradients[part.tensor].as<float>() + part.begin, part.count);
  });
  double total = 0;
  for (double sum : sums_) total += sum;
  *args_.norm.as<float>() = float(std::sqrt(total));
}

plan<ops::lamb_update>::plan(const ops::lamb_update::args& a, context& c)
    : args_(a), parts_(a.parameters, c), sums_(parts_.size()) {}

namespace {

/// The first pass over a part: new moments, and the sums of p² and u².
template <class Sums> Sums accumulate(const moment_rule& rule, const part_view& view, float weight_decay) {
  // Short f32 sums, accumulated in double.
  constexpr int64_t block = 1024;
  Sums sums{};
  for (int64_t begin = 0; begin < view.count; begin += block) {
    vec parameter_sum{}, update_sum{};
    sweep(std::min(block, view.count - begin), [&](int64_t offset, auto width) {
      const int64_t i = begin + offset;
      const vec p = load(view.parameter + i, width);
      const vec u = view.update_moments(rule, i, width, p, weight_decay);
      parameter_sum += p * p;
      update_sum += first_lanes(u * u, width);
    });
    sums.parameter += reduce_add(parameter_sum);
    sums.update += reduce_add(update_sum);
  }
  return sums;
}

/// The second pass: p -= rate u, with u recomputed from the new moments.
void apply_update(const moment_rule& rule, const part_view& view, float weight_decay, float rate) {
  sweep(view.count, [&](int64_t i, auto width) {
    const vec p = load(view.parameter + i, width);
    const vec m = load(view.first_moment + i, width), v = load(view.second_moment + i, width);
    view.store_parameter(i, p - rate * rule.direction(m, v, p, weight_decay), width);
  });
}

}  // namespace

float plan<ops::lamb_update>::trust_ratio(size_t tensor) const {
  square_sums total{};
  for (size_t i = parts_.first_of(tensor); i < parts_.size() && parts_[i].tensor == tensor; ++i) {
    total.parameter += sums_[i].parameter;
    total.update += sums_[i].update;
  }
  const auto parameter = float(total.parameter), update = float(total.update);
  if (args_.adapt[tensor] == 0 || !(parameter > 0) || !(update > 0)) return 1;
  const double ratio = std::sqrt(double(parameter) / double(update));
  return float(args_.variant == ops::lamb_variant::deepspeed ? std::clamp(ratio, 0.01, 10.0) : ratio);
}

void plan<ops::lamb_update>::run(context& c) {
  const ops::lamb_update::args& a = args_;
  const bool updates = std::isfinite(*a.norm.as<float>());
  // The ratio of a tensor without elements is 1.
  if (a.trust_ratios.data)
    std::fill_n(a.trust_ratios.as<float>(), a.trust_ratios.size(), updates ? 1.0f : 0.0f);
  if (!updates) return;
  const bool corrects = a.variant != ops::lamb_variant::deepspeed;
  const moment_rule rule(a, corrects);
  const double bias_factor = corrects ? 1.0 : std::sqrt(rule.correction2) / rule.correction1;
  const float* const learning_rates = a.learning_rates.as<float>();
  const auto update_moments = [&](size_t i) {
    const tensor_parts::part& part = parts_[i];
    sums_[i] = accumulate<square_sums>(rule, part_view(a, part), a.weight_decays[part.tensor]);
  };
  // Each thread reduces the sums of the tensors of which it has parts.
  const auto update_parameters = [&, tensor = size_t(-1), ratio = 1.0f](size_t i) mutable {
    const tensor_parts::part& part = parts_[i];
    if (std::exchange(tensor, part.tensor) != part.tensor) ratio = trust_ratio(part.tensor);
    if (part.begin == 0 && a.trust_ratios.data) a.trust_ratios.as<float>()[part.tensor] = ratio;
    const double rate = double(learning_rates[part.tensor]) * bias_factor * double(ratio);
    apply_update(rule, part_view(a, part), a.weight_decays[part.tensor], float(rate));
  };
  parts_.for_each(c, update_moments, update_parameters);
}

plan<ops::adamw_update>::plan(const ops::adamw_update::args& a, context& c)
    : args_(a), parts_(a.parameters, c) {}

void plan<ops::adamw_update>::run(context& c) {
  const ops::adamw_update::args& a = args_;
  if (!std::isfinite(*a.norm.as<float>())) return;
  const moment_rule rule(a, true);
  const float* const learning_rates = a.learning_rates.as<float>();
  parts_.for_each(c, [&](size_t n) {
    const tensor_parts::part& part = parts_[n];
    const part_view view(a, part);
    const float rate = learning_rates[part.tensor];
    const float weight_decay = a.weight_decays[part.tensor];
    sweep(view.count, [&](int64_t i, auto width) {
      const vec p = load(view.parameter + i, width);
      view.store_parameter(i, p - rate * view.update_moments(rule, i, width, p, weight_decay), width);
    });
  });
}

template <> void run<ops::clamp_update>(const ops::clamp_update::args& a, context&) {
  for (const tensor& parameter : a.parameters) {
    float* p = parameter.as<float>();
    // NaN stays NaN.
    for (int64_t i = 0; i < parameter.size(); ++i) p[i] = std::clamp(p[i], a.minimum, a.maximum);
  }
}

plan<ops::ema_update>::plan(const ops::ema_update::args& a, context& c) : args_(a), parts_(a.averages, c) {}

void plan<ops::ema_update>::run(context& c) {
  const ops::ema_update::args& a = args_;
  if (!std::isfinite(*a.norm.as<float>())) return;
  const float rest = float(1.0 - double(a.decay));
  parts_.for_each(c, [&](size_t n) {
    const tensor_parts::part& part = parts_[n];
    float* const averages = a.averages[part.tensor].as<float>() + part.begin;
    const float* const parameters = a.parameters[part.tensor].as<float>() + part.begin;
    sweep(part.count, [&](int64_t i, auto width) {
      const vec average = load(averages + i, width);
      store(averages + i, average + rest * (load(parameters + i, width) - average), width);
    });
  });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
