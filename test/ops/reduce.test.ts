import { Device } from "../../lib/device";
import { multiply } from "../../lib/ops/elementwise";
import {
  expand,
  expandLast,
  logSoftmax,
  mean,
  softmax,
  sum,
  sumLast,
  sumLeading,
} from "../../lib/ops/reduce";
import { checkGradients, evaluate, f32 } from "../support/gradient_check";
import { relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

/** Sums the elements that `group` maps to the same index of `size`. */
function grouped(x: Float32Array, size: number, group: (i: number) => number): Float64Array {
  const sums = new Float64Array(size);
  x.forEach((v, i) => {
    sums[group(i)]! += v;
  });
  return sums;
}

describe("sums", () => {
  test.each([0, 1, 2, 3])("that keep the last %i dimensions", async (kept) => {
    const x = f32([3, 7, 33]);
    const size = [1, 33, 231, 693][kept]!;
    const y = await checkGradients(device, { x }, (inputs) => sumLeading(inputs.x!, kept));
    const expected = grouped(x.data, size, (i) => i % size);
    expect(relativeError(y, expected)).toBeLessThan(5e-6);
  });

  test("over the last dimension", async () => {
    const x = f32([5, 7, 257]);
    const y = await checkGradients(device, { x }, (inputs) => sumLast(inputs.x!));
    expect(
      relativeError(
        y,
        grouped(x.data, 35, (i) => Math.floor(i / 257)),
      ),
    ).toBeLessThan(2e-6);
  });

  test("of everything, and the mean", async () => {
    const x = f32([77, 99]);
    const total = x.data.reduce((a, v) => a + v, 0);
    const y = await checkGradients(device, { x }, (inputs) => sum(inputs.x!));
    const average = await checkGradients(device, { x }, (inputs) => mean(inputs.x!));
    expect(Math.abs(y[0]! - total)).toBeLessThan(1e-3);
    expect(Math.abs(average[0]! - total / x.data.length)).toBeLessThan(1e-6);
  });

  test("of many numbers are precise", async () => {
    const x = f32([3_000_001], new Float32Array(3_000_001).fill(0.1));
    const y = await evaluate(device, { x }, (inputs) => sum(inputs.x!));
    expect(Math.abs(y.item() / (3_000_001 * Math.fround(0.1)) - 1)).toBeLessThan(1e-6);
  });
});

describe("expand", () => {
  test.each([[[]], [[33]], [[7, 33]]])("%j along leading dimensions", async (shape) => {
    const inputs = { x: f32(shape), like: f32([3, 7, 33], undefined, 2) };
    // Only the shape of `like` matters; the product uses its values.
    const y = await checkGradients(device, inputs, ({ x, like }) => multiply(expand(x!, like!), like!));
    const size = inputs.x.data.length;
    const expected = inputs.like.data.map((v, i) => v * inputs.x.data[i % size]!);
    expect(relativeError(y, expected)).toBeLessThan(1e-6);
  });

  test("along a new last dimension", async () => {
    const inputs = { x: f32([3, 7]), like: f32([3, 7, 19], undefined, 2) };
    const y = await checkGradients(device, inputs, ({ x, like }) => multiply(expandLast(x!, like!), like!));
    const expected = inputs.like.data.map((v, i) => v * inputs.x.data[Math.floor(i / 19)]!);
    expect(relativeError(y, expected)).toBeLessThan(1e-6);
  });
});

function softmaxOf(x: Float32Array, columns: number): Float64Array {
  return Float64Array.from(x, (v, i) => {
    const row = x.subarray(i - (i % columns), i - (i % columns) + columns);
    const top = Math.max(...row);
    return Math.exp(v - top) / row.reduce((total, other) => total + Math.exp(other - top), 0);
  });
}

describe("softmax", () => {
  test.each([1, 5, 77, 257])("and its logarithm over %i columns", async (columns) => {
    const x = f32([6, columns]);
    const expected = softmaxOf(x.data, columns);
    const y = await checkGradients(device, { x }, (inputs) => softmax(inputs.x!));
    expect(relativeError(y, expected)).toBeLessThan(1e-6);
    const logs = await checkGradients(device, { x }, (inputs) => logSoftmax(inputs.x!));
    expect(relativeError(logs, expected.map(Math.log))).toBeLessThan(1e-6);
  });

  test("of large numbers does not overflow", async () => {
    const x = f32([1, 3], Float32Array.of(1000, 1001, -1000));
    const y = await evaluate(device, { x }, (inputs) => softmax(inputs.x!));
    expect(relativeError(y.toFloat32(), [1 / (1 + Math.E), Math.E / (1 + Math.E), 0])).toBeLessThan(1e-6);
  });
});
