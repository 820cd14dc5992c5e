import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import type { HostTensor } from "../../lib/host_tensor";
import { textInitialization } from "../../lib/nn/initialization";
import { initializeParameters } from "../../lib/nn/initialize_parameters";
import { Mlp, type MlpShape } from "../../lib/nn/mlp";
import { storedColumns } from "../../lib/nn/padding";
import { Scope } from "../../lib/nn/scope";
import { SwiGlu } from "../../lib/nn/swiglu";
import { cast, type FloatDType, multiply } from "../../lib/ops/elementwise";
import { sum } from "../../lib/ops/reduce";
import { AdamW } from "../../lib/optim/adamw";
import { Lamb } from "../../lib/optim/lamb";
import type { Parameter } from "../../lib/parameter";
import { noise, relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

const WIDTH = 24;
const HIDDEN = 85;
const ROWS = 40;
const STEPS = 5;

test("rows of bf16 are padded to multiples of 16 bytes where they are not", () => {
  expect([1, 8, 85, 1000, 2048, 2730].map(storedColumns)).toEqual([64, 8, 128, 1000, 2048, 2752]);
});

const modules = {
  "SwiGLU with its norm": (shape: MlpShape) =>
    new SwiGlu(new Scope("mlp"), shape, { subNorm: true, eps: 1e-6 }),
  SwiGLU: (shape: MlpShape) => new SwiGlu(new Scope("mlp"), shape, { subNorm: false, eps: 1e-6 }),
  GELU: (shape: MlpShape) => new Mlp(new Scope("mlp"), ["fc1", "fc2"], shape, "gelu"),
  "quick GELU": (shape: MlpShape) => new Mlp(new Scope("mlp"), ["fc1", "fc2"], shape, "quick_gelu"),
};

const optimizers = { LAMB: Lamb, AdamW };

interface Trained {
  /** What each parameter held at first, its gradient then, and what it and its moments hold in the end. */
  start: HostTensor[];
  gradients: HostTensor[];
  end: HostTensor[];
  outputs: HostTensor[];
  /** The padding of all parameters and moments at the end, and of the gradients. */
  padding: number[];
}

/** The padding of a tensor of the stored shape. */
function paddingOf(parameter: Parameter, stored: HostTensor): number[] {
  const [rows, columns] = [parameter.size / (parameter.shape.at(-1) ?? 1), parameter.shape.at(-1) ?? 1];
  const pitch = parameter.storedShape.at(-1) ?? 1;
  return [...stored.toFloat32()].filter((_, i) => Math.floor(i / pitch) >= rows || i % pitch >= columns);
}

/** Trains a module whose hidden layer is stored with so many columns. */
async function train(
  module: SwiGlu | Mlp,
  optimizerClass: typeof Lamb | typeof AdamW,
  type: FloatDType,
): Promise<Trained> {
  const parameters = module.parameters();
  for (const parameter of parameters) parameter.allocate(device);
  await initializeParameters(device, parameters, 3);
  const rules = parameters.map((parameter) => ({
    parameter,
    tower: "image" as const,
    layerScale: 1,
    learningRate: 0.01,
    weightDecay: parameter.shape.length > 1 ? 0.05 : 0,
  }));
  const optimizer = new optimizerClass(rules, { clipNorm: 1 });
  await optimizer.allocate(device);
  const all = [...parameters, ...optimizer.state()];
  const contents = () => Promise.all(all.map((parameter) => parameter.read()));

  const data = { x: spec("f32", [ROWS, WIDTH]), target: spec("f32", [ROWS, WIDTH]) };
  const inputs = { ...data, learningRates: spec("f32", [parameters.length]), step: spec("i32", []) };
  const program = await compile(device, inputs, ({ x, target, learningRates, step }) => {
    const y = cast(module.forward(cast(x, type)), "f32");
    const gradients = grad(sum(multiply(y, target)), parameters);
    optimizer.update(gradients, { learningRates, step });
    return { y, ...Object.fromEntries(gradients.map((gradient, i) => [`${i}`, gradient])) };
  });
  const start = await contents();
  const runs: Record<string, HostTensor>[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const counters = { learningRates: optimizer.learningRatesAt(1), step: Int32Array.of(step) };
    runs.push(await program({ x: noise(ROWS * WIDTH, 1), target: noise(ROWS * WIDTH, 2), ...counters }));
  }
  program.dispose();
  const stored = parameters.map((_, i) => runs[0]![`${i}`]!);
  const raw = await compile(device, {}, () => Object.fromEntries(all.map((p, i) => [`${i}`, p])));
  const held = await raw({});
  raw.dispose();
  const trained = {
    start,
    gradients: stored.map((gradient, i) => parameters[i]!.withoutPadding(gradient)),
    end: await contents(),
    outputs: runs.map(({ y }) => y!),
    padding: [
      ...all.flatMap((parameter, i) => paddingOf(parameter, held[`${i}`]!)),
      ...parameters.flatMap((parameter, i) => paddingOf(parameter, stored[i]!)),
    ],
  };
  optimizer.dispose();
  for (const parameter of parameters) parameter.dispose();
  return trained;
}

describe.each(Object.keys(modules) as (keyof typeof modules)[])("%s", (name) => {
  test.each([
    ["LAMB", "f32", 1e-5],
    ["AdamW", "f32", 1e-5],
    ["LAMB", "bf16", 2e-2],
  ] as const)("trains with %s in %s as it does without padding", async (optimizer, type, tolerance) => {
    const shape = {
      width: WIDTH,
      hidden: HIDDEN,
      init: textInitialization({ layers: 1, width: WIDTH, hidden: HIDDEN }).block(0),
    };
    const padded = await train(modules[name](shape), optimizers[optimizer], type);
    const plain = await train(modules[name]({ ...shape, storedHidden: HIDDEN }), optimizers[optimizer], type);
    expect(padded.start).toEqual(plain.start);
    for (const group of ["outputs", "gradients", "end"] as const) {
      for (const [i, tensor] of padded[group].entries()) {
        const [actual, expected] = [tensor.toFloat32(), plain[group][i]!.toFloat32()];
        expect(relativeError(actual, expected)).toBeLessThan(tolerance);
      }
    }
    expect(padded.padding.length).toBeGreaterThan(3 * (storedColumns(HIDDEN) - HIDDEN) * WIDTH);
    expect(padded.padding.every((value) => value === 0)).toBe(true);
    expect(plain.padding).toEqual([]);
  });
});
