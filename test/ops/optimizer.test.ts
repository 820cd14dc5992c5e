import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import {
  adamwUpdate,
  clampUpdate,
  emaUpdate,
  globalNorm,
  lambUpdate,
  type UpdateSettings,
} from "../../lib/ops/optimizer";
import { Parameter } from "../../lib/parameter";
import { constant } from "../../lib/tensor";
import { dot, noise, relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

async function parameterOf(shape: number[], data: Float32Array): Promise<Parameter> {
  const parameter = new Parameter("p", shape);
  parameter.allocate(device);
  await parameter.write(data);
  return parameter;
}

// From one element to more than one thread's part.
const SHAPES = [[], [3], [64, 33], [2730, 16], [300, 1000]];
const sizes = SHAPES.map((shape) => shape.reduce((product, dim) => product * dim, 1));
const learningRates = Float32Array.of(0.005, 0.01, 0.015, 0.005, 0.01);
const settings: UpdateSettings = {
  weightDecays: [0, 0.05, 0.1, 0, 0.05],
  beta1: 0.9,
  beta2: 0.98,
  eps: 1e-6,
  clipNorm: 1,
};

/** One tensor's three steps in double precision, following csrc/ops/optimizer.h. */
function reference(
  start: Float32Array,
  gradients: Float32Array[],
  norms: number[],
  i: number,
  lamb: boolean,
) {
  const { beta1, beta2, eps, clipNorm } = settings;
  const [p, m, v] = [
    Float64Array.from(start),
    new Float64Array(start.length),
    new Float64Array(start.length),
  ];
  gradients.forEach((gradient, t) => {
    const clip = Math.min(1, clipNorm / (norms[t]! + 1e-6));
    const u = p.map((value, j) => {
      const g = gradient[j]! * clip;
      m[j] = beta1 * m[j]! + (1 - beta1) * g;
      v[j] = beta2 * v[j]! + (1 - beta2) * g * g;
      const direction = m[j]! / (1 - beta1 ** (t + 1)) / (Math.sqrt(v[j]! / (1 - beta2 ** (t + 1))) + eps);
      return direction + settings.weightDecays[i]! * value;
    });
    const ratio = lamb ? Math.sqrt(dot(p, p) / dot(u, u)) : 1;
    for (let j = 0; j < p.length; j++) p[j]! -= learningRates[i]! * ratio * u[j]!;
  });
  return p;
}

function constant32(...values: number[]) {
  return () =>
    constant(Float32Array.from(values.length ? values : [1]), values.length ? [values.length] : []);
}

async function threeSteps(lamb: boolean, poison = false) {
  const starts = sizes.map((size, i) => noise(size, i + 1));
  const zeros = sizes.map((size) => new Float32Array(size));
  const parameters = await Promise.all(SHAPES.map((shape, i) => parameterOf(shape, starts[i]!)));
  const firstMoments = await Promise.all(SHAPES.map((shape, i) => parameterOf(shape, zeros[i]!)));
  const secondMoments = await Promise.all(SHAPES.map((shape, i) => parameterOf(shape, zeros[i]!)));
  const names = SHAPES.map((_, i) => `g${i}`);
  const specs = Object.fromEntries(names.map((name, i) => [name, spec("f32", SHAPES[i]!)]));
  const program = await compile(device, { ...specs, step: spec("i32", []) }, (x) => {
    const gradients = names.map((name) => x[name as keyof typeof x]);
    const norm = globalNorm(gradients);
    const inputs = {
      parameters,
      gradients,
      firstMoments,
      secondMoments,
      norm,
      learningRates: constant(learningRates, [SHAPES.length]),
      step: x.step,
    };
    if (lamb) lambUpdate(inputs, { ...settings, adapt: SHAPES.map(() => 1), variant: "paper" });
    else adamwUpdate(inputs, settings);
    return { norm };
  });
  const gradients = [0, 1, 2].map((t) => sizes.map((size, i) => noise(size, 10 + 10 * t + i)));
  if (poison) for (const all of gradients) all[3]![5] = Number.NaN;
  const norms: number[] = [];
  for (const [t, all] of gradients.entries()) {
    const data = Object.fromEntries(names.map((name, i) => [name, all[i]!]));
    norms.push((await program({ ...data, step: Int32Array.of(t + 1) } as never)).norm.item());
  }
  const found = await Promise.all(parameters.map((parameter) => parameter.read()));
  const moments = await Promise.all(firstMoments.map((moment) => moment.read()));
  program.dispose();
  for (const parameter of [...parameters, ...firstMoments, ...secondMoments]) parameter.dispose();
  return { starts, gradients, norms, found, moments };
}

test("the global norm is the norm of all gradients together", async () => {
  const { gradients, norms } = await threeSteps(false);
  const expected = Math.sqrt(gradients[0]!.reduce((sum, values) => sum + dot(values, values), 0));
  expect(Math.abs(norms[0]! / expected - 1)).toBeLessThan(1e-6);
});

test.each([
  ["AdamW", false],
  ["LAMB", true],
])("%s over tensors of every size", async (_, lamb) => {
  const { starts, gradients, norms, found } = await threeSteps(lamb);
  starts.forEach((start, i) => {
    const ofTensor = gradients.map((all) => all[i]!);
    expect(relativeError(found[i]!.data, reference(start, ofTensor, norms, i, lamb))).toBeLessThan(2e-6);
  });
});

test.each([
  ["AdamW", false],
  ["LAMB", true],
])("%s changes nothing when a gradient is not a number", async (_, lamb) => {
  const { starts, norms, found, moments } = await threeSteps(lamb, true);
  expect(norms.every(Number.isNaN)).toBe(true);
  found.forEach((parameter, i) => expect(parameter.data).toEqual(starts[i]!));
  moments.forEach((moment) => expect(moment.data.every((value) => value === 0)).toBe(true));
});

test.each([
  [constant32(1, 2), "adamw_update: learning_rates must be f32 [1], got f32 [2]"],
  [constant32(), "adamw_update: learning_rates must be f32 [1], got f32 []"],
  [() => constant(Int32Array.of(1), [1]), "adamw_update: learning_rates must be f32 [1], got i32 [1]"],
])("refuses learning rates of another shape or type (%#)", async (rates, message) => {
  const [p, m, v] = await Promise.all([0, 1, 2].map(() => parameterOf([3], new Float32Array(3))));
  const refused = compile(device, { g: spec("f32", [3]), step: spec("i32", []) }, ({ g, step }) => {
    const inputs = { parameters: [p!], gradients: [g], firstMoments: [m!], secondMoments: [v!] };
    adamwUpdate(
      { ...inputs, norm: globalNorm([g]), learningRates: rates(), step },
      { ...settings, weightDecays: [0] },
    );
    return {};
  });
  await expect(refused).rejects.toThrow(message);
  for (const parameter of [p, m, v]) parameter!.dispose();
});

test("clamp", async () => {
  const parameter = await parameterOf([4], Float32Array.of(-1, 0.5, 9, 4));
  const program = await compile(device, {}, () => {
    clampUpdate([parameter], 0, 4);
    return {};
  });
  await program({});
  expect([...(await parameter.read()).data]).toEqual([0, 0.5, 4, 4]);
  parameter.dispose();
});

test("moving averages of tensors of every size, which a norm that is not a number leaves alone", async () => {
  const decay = 0.9;
  const starts = sizes.map((size, i) => noise(size, i + 1));
  const values = sizes.map((size, i) => noise(size, i + 20));
  const averages = await Promise.all(SHAPES.map((shape, i) => parameterOf(shape, starts[i]!)));
  const parameters = await Promise.all(SHAPES.map((shape, i) => parameterOf(shape, values[i]!)));
  const program = await compile(device, { norm: spec("f32", []) }, ({ norm }) => {
    emaUpdate({ averages, parameters, norm }, decay);
    return {};
  });
  for (const norm of [1, 2, Number.NaN, Number.POSITIVE_INFINITY, 3])
    await program({ norm: Float32Array.of(norm) });
  // After n updates towards a constant, decay^n of the distance to it is left.
  const left = Math.fround(decay) ** 3;
  for (const [i, average] of averages.entries()) {
    const expected = Float64Array.from(values[i]!, (value, j) => value + left * (starts[i]![j]! - value));
    expect(relativeError((await average.read()).data, expected)).toBeLessThan(1e-6);
  }
  program.dispose();
  for (const parameter of [...averages, ...parameters]) parameter.dispose();
});

test.each([
  [[2], 0.9, "ema_update: parameters must be f32 [3], got f32 [2]"],
  [[3], 1.5, "ema_update: decay must be from 0 to 1"],
  [[3], Number.NaN, "decay must be"],
])("refuses averages of another shape and decays out of range (%#)", async (shape, decay, message) => {
  const average = await parameterOf([3], new Float32Array(3));
  const refused = compile(device, { p: spec("f32", shape) }, ({ p }) => {
    emaUpdate({ averages: [average], parameters: [p], norm: constant(1) }, decay);
    return {};
  });
  await expect(refused).rejects.toThrow(message);
  average.dispose();
});
