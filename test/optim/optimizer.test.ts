import { AdamW } from "../../lib/optim/adamw";
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
