import { AdamW } from "../../lib/optim/adamw";
import type { ParameterRule } from "../../lib/optim/parameter_groups";
import { Parameter } from "../../lib/parameter";

const rule = (name: string, learningRate = 1) => ({
  parameter: new Parameter(name, [2, 3]),
  tower: "image" as const,
  layerScale: 1,
  learningRate,
  weightDecay: 0,
});

test("refuses to train nothing, or one name twice", () => {
  const refusal = expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
  expect(() => new AdamW([])).toThrow(refusal);
  expect(() => new AdamW([rule("a"), rule("a")])).toThrow(refusal);
});

test.each([
  [{ eps: 1e-60 }, "options.eps must be more than 0, as f32, found 1e-60"],
  [{ eps: 0 }, "options.eps must be more than 0"],
  [{ beta1: 0.999999999 }, "options.beta1 must be less than 1, as f32"],
  [{ beta2: -0.1 }, "options.beta2 must be at least 0"],
  [{ clipNorm: 1e39 }, "options.clipNorm must be a number that f32 can hold"],
])("refuses %j, which would make every parameter NaN", (options, message) => {
  expect(() => new AdamW([rule("a")], options)).toThrow(message);
});

test("has two moments for each parameter, under PyTorch's names, and knows the greatest learning rate", () => {
  const optimizer = new AdamW([rule("a", 1e-3), rule("b", 2e-3)]);
  expect(optimizer.state().map(({ name }) => name)).toEqual([
    "exp_avg.a",
    "exp_avg.b",
    "exp_avg_sq.a",
    "exp_avg_sq.b",
  ]);
  expect(optimizer.state().every(({ shape }) => shape.join() === "2,3")).toBe(true);
  expect(optimizer.learningRate).toBe(2e-3);
});

test("scales the learning rates by one factor, or by one per parameter", () => {
  const optimizer = new AdamW([rule("a", 0.1), rule("b", 0.2)]);
  const [a, b] = [Math.fround(0.1), Math.fround(0.2)];
  expect(optimizer.learningRatesAt(0.3)).toEqual(Float32Array.of(a * Math.fround(0.3), b * Math.fround(0.3)));
  const schedule = ({ parameter }: ParameterRule) => (parameter.name === "a" ? 0 : 0.7);
  expect(optimizer.learningRatesAt(schedule)).toEqual(Float32Array.of(0, b * Math.fround(0.7)));
});

test.each([
  ["1", "schedule must be a number that f32 can hold, or a function"],
  [Number.NaN, "schedule must be"],
  [() => Number.NaN, "schedule's result must be a finite number"],
])("refuses %p as a schedule", (schedule, message) => {
  expect(() => new AdamW([rule("a")]).learningRatesAt(schedule as number)).toThrow(message);
});
