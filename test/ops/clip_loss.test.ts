import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import { clipLoss } from "../../lib/ops/clip_loss";
import { cast, convert } from "../../lib/ops/elementwise";
import { l2Normalize } from "../../lib/ops/l2_normalize";
import { checkGradients, f32 } from "../support/gradient_check";
import { dot, noise, relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

/** Rows of unit length. */
function unitRows(rows: number, columns: number, seed: number): Float32Array {
  const data = noise(rows * columns, seed);
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * columns, (row + 1) * columns);
    const norm = Math.sqrt(dot(values, values));
    values.forEach((value, i) => {
      values[i] = value / norm;
    });
  }
  return data;
}

const logSumExp = (values: number[]) => {
  const peak = Math.max(...values);
  return peak + Math.log(values.reduce((sum, value) => sum + Math.exp(value - peak), 0));
};

/** The loss and the accuracies from the whole matrix of logits, in double precision. */
function reference(image: Float32Array, text: Float32Array, columns: number, logScale: number) {
  const batch = image.length / columns;
  const row = (data: Float32Array, i: number) => data.subarray(i * columns, (i + 1) * columns);
  const logits = Array.from({ length: batch }, (_, i) =>
    Array.from({ length: batch }, (_, j) => Math.exp(logScale) * dot(row(image, i), row(text, j))),
  );
  const transposed = logits.map((_, j) => logits.map((scores) => scores[j]!));
  const crossEntropy = (scores: number[][]) =>
    scores.reduce((sum, values, i) => sum + logSumExp(values) - values[i]!, 0) / batch;
  const accuracy = (scores: number[][]) =>
    scores.filter((values, i) => values.every((value, j) => j === i || value < values[i]!)).length / batch;
  return {
    loss: (crossEntropy(logits) + crossEntropy(transposed)) / 2,
    imageAccuracy: accuracy(logits),
    textAccuracy: accuracy(transposed),
  };
}

async function measure(
  batch: number,
  columns: number,
  logScale: number,
  image: Float32Array,
  text: Float32Array,
) {
  const shape = spec("f32", [batch, columns]);
  const inputs = { image: shape, text: shape, scale: spec("f32", []) };
  const program = await compile(device, inputs, (x) => ({ ...clipLoss(x.image, x.text, x.scale) }));
  const results = await program({ image, text, scale: Float32Array.of(logScale) });
  program.dispose();
  return results;
}

// Logits are computed in tiles of 256 rows: batches around that size, and much smaller.
test.each([1, 2, 5, 77, 255, 256, 257, 600])("batch %i", async (batch) => {
  const [columns, logScale] = [12, 1.5];
  const [image, text] = [unitRows(batch, columns, 1), unitRows(batch, columns, 2)];
  const expected = reference(image, text, columns, logScale);
  const actual = await measure(batch, columns, logScale, image, text);
  expect(Math.abs(actual.loss.item() - expected.loss)).toBeLessThan(2e-6 * Math.max(1, expected.loss));
  expect(actual.imageAccuracy.item()).toBeCloseTo(expected.imageAccuracy, 6);
  expect(actual.textAccuracy.item()).toBeCloseTo(expected.textAccuracy, 6);
});

test("the published value", async () => {
  const normalise = (...values: number[]) => values.map((value) => value / Math.hypot(...values));
  const image = Float32Array.from([normalise(1, 2, 3), normalise(0, 1, -1), normalise(2, 0, 1)].flat());
  const text = Float32Array.from([normalise(1, 1, 3), normalise(1, 1, -1), normalise(2, 1, 0)].flat());
  const { loss } = await measure(3, 3, Math.log(1 / 0.07), image, text);
  expect(loss.item()).toBeCloseTo(0.0303276, 6);
});

test("logits at the largest scale stay finite", async () => {
  const rows = unitRows(300, 8, 3);
  const { loss, imageAccuracy } = await measure(300, 8, Math.log(100), rows, rows);
  expect(Number.isFinite(loss.item())).toBe(true);
  expect(imageAccuracy.item()).toBe(1);
});

test.each([2, 3, 40, 257])("gradients at batch %i", async (batch) => {
  const inputs = {
    image: f32([batch, 6]),
    text: f32([batch, 6], undefined, 2),
    scale: f32([], Float32Array.of(1)),
  };
  await checkGradients(
    device,
    inputs,
    ({ image, text, scale }) => clipLoss(l2Normalize(image!), l2Normalize(text!), scale!).loss,
  );
});

test("gradients of bf16 features are those of f32 ones, rounded", async () => {
  const shape = spec("f32", [300, 24]);
  const inputs = { image: shape, text: shape, scale: spec("f32", []) };
  const [image, text] = [unitRows(300, 24, 4), unitRows(300, 24, 5)];
  const run = async (type: "f32" | "bf16") => {
    const program = await compile(device, inputs, (x) => {
      // Both get bf16 values, one of them converted to f32.
      const [a, b] = [cast(x.image, "bf16"), cast(x.text, "bf16")] as const;
      const { loss } = clipLoss(convert(a, type), convert(b, type), x.scale);
      const [dImage, dText, dScale] = grad(loss, [x.image, x.text, x.scale]);
      return { loss, dImage: dImage!, dText: dText!, dScale: dScale! };
    });
    const results = await program({ image, text, scale: Float32Array.of(Math.log(14.3)) });
    program.dispose();
    return results;
  };
  const [rounded, exact] = [await run("bf16"), await run("f32")];
  const error = (name: keyof typeof exact) =>
    relativeError(rounded[name].toFloat32(), exact[name].toFloat32());
  expect(error("loss")).toBeLessThan(1e-6);
  expect(error("dScale")).toBeLessThan(1e-5);
  // The cast rounds the f32 gradient, too, to the same values except for near ties.
  expect(error("dImage")).toBeLessThan(2e-3);
  expect(error("dText")).toBeLessThan(2e-3);
});

test("features of two types are a shape error", async () => {
  const recorded = compile(
    device,
    { image: spec("f32", [3, 4]), text: spec("bf16", [3, 4]), scale: spec("f32", []) },
    (x) => ({ ...clipLoss(x.image, x.text, x.scale) }),
  );
  await expect(recorded).rejects.toMatchObject({
    code: "ERR_EVACLIP_SHAPE",
    message: "clip_loss: text must be f32, got bf16 [3, 4]",
  });
});

test("memory grows with the batch, not with its square", async () => {
  const bytes = async (batch: number) => {
    const shape = spec("f32", [batch, 16]);
    const inputs = { image: shape, text: shape, scale: spec("f32", []) };
    const program = await compile(device, inputs, ({ image, text, scale }) => ({
      loss: clipLoss(image, text, scale).loss,
    }));
    const { arenaBytes } = program.stats();
    program.dispose();
    return arenaBytes;
  };
  expect(await bytes(8192)).toBeLessThan(2.2 * (await bytes(4096)));
});
