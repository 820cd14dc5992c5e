import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import type { HostTensor } from "../../lib/host_tensor";
import { evaImageInitialization, textInitialization, zeros } from "../../lib/nn/initialization";
import { initializeParameters } from "../../lib/nn/initialize_parameters";
import { MATRIX } from "../../lib/nn/linear";
import { Mlp, type MlpShape } from "../../lib/nn/mlp";
import { Module } from "../../lib/nn/module";
import { storedColumns } from "../../lib/nn/padding";
import { PatchEmbedding } from "../../lib/nn/patch_embedding";
import { Scope } from "../../lib/nn/scope";
import { SwiGlu } from "../../lib/nn/swiglu";
import { cast, type FloatDType, multiply } from "../../lib/ops/elementwise";
import { linear } from "../../lib/ops/linear";
import { addPositions, patchProjection, patchRows } from "../../lib/ops/patch_embed";
import { sum } from "../../lib/ops/reduce";
import { AdamW } from "../../lib/optim/adamw";
import { Lamb } from "../../lib/optim/lamb";
import type { Parameter } from "../../lib/parameter";
import { reshape, type Tensor } from "../../lib/tensor";
import { elementCount } from "../../lib/shape";
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
  const columns = parameter.joinedShape.at(-1) ?? 1;
  const rows = parameter.size / columns;
  const pitch = parameter.storedShape.at(-1) ?? 1;
  return [...stored.toFloat32()].filter((_, i) => Math.floor(i / pitch) >= rows || i % pitch >= columns);
}

/** A module, the shape of its input, and its output of ROWS · WIDTH elements. */
interface Trainable {
  module: Module;
  input: number[];
  forward(x: Tensor, type: FloatDType): Tensor;
}

/** Trains a module for a few steps. */
async function train(
  { module, input, forward }: Trainable,
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

  const data = { x: spec("f32", input), target: spec("f32", [ROWS, WIDTH]) };
  const inputs = { ...data, learningRates: spec("f32", [parameters.length]), step: spec("i32", []) };
  const program = await compile(device, inputs, ({ x, target, learningRates, step }) => {
    const y = reshape(cast(forward(x, type), "f32"), [ROWS, WIDTH]);
    const gradients = grad(sum(multiply(y, target)), parameters);
    optimizer.update(gradients, { learningRates, step });
    return { y, ...Object.fromEntries(gradients.map((gradient, i) => [`${i}`, gradient])) };
  });
  const start = await contents();
  const runs: Record<string, HostTensor>[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const counters = { learningRates: optimizer.learningRatesAt(1), step: Int32Array.of(step) };
    const [pixels, target] = [noise(elementCount(input), 1), noise(ROWS * WIDTH, 2)];
    runs.push(await program({ x: pixels, target, ...counters }));
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

const cases = [
  ["LAMB", "f32", 1e-5],
  ["AdamW", "f32", 1e-5],
  ["LAMB", "bf16", 2e-2],
] as const;

/** Expects the same training, and zeros in the padding, of which there are at least so many. */
function expectAlike(padded: Trained, plain: Trained, tolerance: number, zerosExpected: number): void {
  expect(padded.start).toEqual(plain.start);
  for (const group of ["outputs", "gradients", "end"] as const) {
    for (const [i, tensor] of padded[group].entries()) {
      const [actual, expected] = [tensor.toFloat32(), plain[group][i]!.toFloat32()];
      expect(relativeError(actual, expected)).toBeLessThan(tolerance);
    }
  }
  expect(padded.padding.length).toBeGreaterThanOrEqual(zerosExpected);
  expect(padded.padding.every((value) => value === 0)).toBe(true);
  expect(plain.padding).toEqual([]);
}

describe.each(Object.keys(modules) as (keyof typeof modules)[])("%s", (name) => {
  test.each(cases)("trains with %s in %s as it does without padding", async (optimizer, type, tolerance) => {
    const shape = {
      width: WIDTH,
      hidden: HIDDEN,
      init: textInitialization({ layers: 1, width: WIDTH, hidden: HIDDEN }).block(0),
    };
    const trained = (given: MlpShape) => {
      const module = modules[name](given);
      const forward = (x: Tensor) => module.forward(cast(x, type));
      return train({ module, input: [ROWS, WIDTH], forward }, optimizers[optimizer], type);
    };
    const [padded, plain] = [await trained(shape), await trained({ ...shape, storedHidden: HIDDEN })];
    expectAlike(padded, plain, tolerance, 3 * (storedColumns(HIDDEN) - HIDDEN) * WIDTH + 1);
  });
});

const PATCH = 7;
const COLUMNS = 3 * PATCH * PATCH;

/** A patch embedding of 7 × 7 pixels whose weight is stored as it is in files. */
class PlainPatches extends Module {
  readonly classToken: Parameter;
  readonly positions: Parameter;
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(scope: Scope, init: typeof patchInit) {
    super();
    this.classToken = scope.parameter("cls", [WIDTH], { initial: init.token });
    this.positions = scope.parameter("pos", [5, WIDTH], { initial: init.positions });
    this.weight = scope.parameter("proj", [WIDTH, 3, PATCH, PATCH], { initial: init.patches, ...MATRIX });
    this.bias = scope.parameter("bias", [WIDTH], { initial: zeros });
  }

  forward(images: Tensor, _kept: undefined, type: FloatDType): Tensor {
    const rows = patchRows(images, { patchSize: PATCH, dtype: type });
    const weight = reshape(this.weight, [WIDTH, COLUMNS]);
    const x = type === "f32" ? patchProjection(rows, weight, this.bias) : linear(rows, [weight], [this.bias]);
    return addPositions(x, this.classToken, this.positions);
  }
}

const patchInit = evaImageInitialization({ layers: 1, width: WIDTH, hidden: HIDDEN, patchColumns: COLUMNS });
const patchKeys = { classToken: "cls", positions: "pos", weight: "proj", bias: "bias" };
const patchShape = { imageSize: 2 * PATCH, patchSize: PATCH, width: WIDTH, init: patchInit };

test.each(cases)(
  "a patch embedding trains with %s in %s as without padding",
  async (optimizer, type, tolerance) => {
    const trained = (module: PatchEmbedding | PlainPatches) => {
      const forward = (x: Tensor) => module.forward(x, undefined, type);
      // Each image is four patches and the class token.
      const input = [ROWS / 5, 3, 2 * PATCH, 2 * PATCH];
      return train({ module, input, forward }, optimizers[optimizer], type);
    };
    const padded = await trained(new PatchEmbedding(new Scope("embed"), patchKeys, patchShape));
    const plain = await trained(new PlainPatches(new Scope("embed"), patchInit));
    // The weight, two moments and the gradient.
    expectAlike(padded, plain, tolerance, 4 * (storedColumns(COLUMNS) - COLUMNS) * WIDTH);
  },
);
