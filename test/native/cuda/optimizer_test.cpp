// The optimizers on CUDA against the CPU backend: tensors of every size, all variants.
#include "cuda/optimizer/optimizer.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

const std::vector<shape> shapes{{}, {7}, {3, 0}, {768}, {2, 4096}, {20011}};

struct state {
  state() {
    for (const shape& dims : shapes) {
      parameters.emplace_back(dtype::f32, dims, random, 0.5f);
      gradients.emplace_back(dtype::f32, dims, random, 1.0f);
      first_moments.emplace_back(dtype::f32, dims, random, 0.3f);
      second_moments.emplace_back(dtype::f32, dims, 0.2f);
      copies.emplace_back(dtype::bf16, dims, 0);
    }
    // A parameter with norm 0.
    for (int64_t i = 0; i < parameters[1].size(); ++i) parameters[1].set(i, 0);
    // A small and a large one, whose trust ratios DeepSpeed clamps.
    parameters[0].set(0, 1e-3f);
    for (int64_t i = 0; i < parameters[4].size(); ++i) parameters[4].set(i, 100 * parameters[4][i]);
  }
  template <class Args> void fill(Args& a) {
    for (size_t i = 0; i < shapes.size(); ++i) {
      a.parameters.push_back(parameters[i]);
      a.gradients.push_back(gradients[i]);
      a.first_moments.push_back(first_moments[i]);
      a.second_moments.push_back(second_moments[i]);
      a.copies.push_back(i % 3 == 2 ? tensor{} : tensor(copies[i]));
      a.weight_decays.push_back(i % 2 ? 0.05f : 0.0f);
    }
    a.norm = norm;
    a.learning_rates = learning_rates;
    a.step = view(step, {});
  }

  std::mt19937 random{5};
  std::vector<buffer> parameters, gradients, first_moments, second_moments, copies;
  buffer norm{dtype::f32, {}, 3};
  buffer learning_rates{{int64_t(shapes.size())}, {7e-3f, 1.4e-2f, 2.1e-2f, 2.8e-2f, 3.5e-2f, 4.2e-2f}};
  std::vector<int32_t> step{3};
};

void lamb(ops::lamb_variant variant, float clip_norm, float norm, const std::set<std::string>& unread = {}) {
  state s;
  s.norm.set(0, norm);
  ops::lamb_update::args a;
  s.fill(a);
  a.variant = variant;
  a.clip_norm = clip_norm;
  for (size_t i = 0; i < shapes.size(); ++i) a.adapt.push_back(i == 3 ? 0.0f : 1.0f);
  agree<ops::lamb_update>(a,
                          "lamb_update " + std::string(ops::enum_names<ops::lamb_variant>[size_t(variant)]) +
                              ", norm " + std::to_string(norm),
                          {.unread = unread});
}

/// Tensors of several groups, whose passes alternate; the last one is larger than a group.
void lamb_of_groups() {
  std::mt19937 random(6);
  std::vector<buffer> all;
  ops::lamb_update::args a;
  const std::vector<int64_t> sizes{600000, 500000, 5, 1100000};
  for (const int64_t size : sizes) {
    for (int list = 0; list < 3; ++list) all.emplace_back(dtype::f32, shape{size}, random, 0.5f);
    all.emplace_back(dtype::f32, shape{size}, 0.2f);
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    a.parameters.push_back(all[4 * i]);
    a.gradients.push_back(all[4 * i + 1]);
    a.first_moments.push_back(all[4 * i + 2]);
    a.second_moments.push_back(all[4 * i + 3]);
    a.weight_decays.push_back(0.05f);
    a.adapt.push_back(1);
  }
  buffer norm(dtype::f32, {}, 3), learning_rates(dtype::f32, {int64_t(sizes.size())}, 1e-2f);
  std::vector<int32_t> step{3};
  a.norm = norm;
  a.learning_rates = learning_rates;
  a.step = view(step, {});
  agree<ops::lamb_update>(a, "lamb_update of groups");
}

void adamw(float norm) {
  state s;
  s.norm.set(0, norm);
  ops::adamw_update::args a;
  s.fill(a);
  a.clip_norm = 1;
  agree<ops::adamw_update>(a, "adamw_update, norm " + std::to_string(norm));
}

void norms_and_clamps() {
  state s;
  ops::global_norm::args norm;
  ops::clamp_update::args clamp;
  s.parameters[0].set(0, NAN);
  for (size_t i = 0; i < shapes.size(); ++i) {
    norm.gradients.push_back(s.gradients[i]);
    clamp.parameters.push_back(s.parameters[i]);
  }
  clamp.minimum = -0.4f;
  clamp.maximum = 0.3f;
  agree<ops::global_norm>(norm, "global_norm", {.f32 = 1e-7});
  agree<ops::global_norm>({}, "global_norm of nothing");
  s.gradients[3].set(5, 1e20f);  // its square overflows in f32
  agree<ops::global_norm>(norm, "global_norm of large gradients", {.f32 = 1e-7});
  agree<ops::clamp_update>(clamp, "clamp_update", {.f32 = 0});
}

void ema(float norm) {
  state s;
  s.norm.set(0, norm);
  ops::ema_update::args a;
  for (size_t i = 0; i < shapes.size(); ++i) {
    a.averages.push_back(s.gradients[i]);
    a.parameters.push_back(s.parameters[i]);
  }
  a.norm = s.norm;
  a.decay = 0.9f;
  agree<ops::ema_update>(a, "ema_update, norm " + std::to_string(norm), {.f32 = 1e-6});
}

/// A plan follows tensors that move between runs.
void addresses_change() {
  state s, moved;
  ops::clamp_update::args a;
  a.parameters = {s.parameters[3]};
  a.minimum = 0;
  a.maximum = 0.1f;
  owned_args<ops::clamp_update> first({a}, {});
  cuda::plan<ops::clamp_update> plan(first.all, device_context());
  plan.run(device_context());
  a.parameters = {moved.parameters[3]};
  owned_args<ops::clamp_update> second(a, {});
  first.all.parameters[0].data = second.all.parameters[0].data;
  plan.run(device_context());
  cuda::device::synchronize(device_context().stream);
  float least = 1;
  for (int64_t i = 0; i < second.all.parameters[0].size(); ++i)
    least = std::min(least, second.all.parameters[0].as<float>()[i]);
  check(least == 0, "a plan follows its tensors");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  for (const auto variant :
       {eva::ops::lamb_variant::paper, eva::ops::lamb_variant::apex, eva::ops::lamb_variant::deepspeed}) {
    lamb(variant, 0, 3);
    lamb(variant, 1, 3);
    lamb(variant, 1, INFINITY);
  }
  lamb(eva::ops::lamb_variant::paper, 1, NAN, {"trust_ratios"});
  lamb_of_groups();
  adamw(3);
  adamw(INFINITY);
  norms_and_clamps();
  for (const float norm : {3.0f, INFINITY, NAN}) ema(norm);
  addresses_change();
  return status();
}
