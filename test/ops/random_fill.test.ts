import { compile } from "../../lib/compile";
import { Device } from "../../lib/device";
import { type RandomFillSettings, randomFill } from "../../lib/ops/random_fill";
import { Parameter } from "../../lib/parameter";
import { dot } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

/** The contents of parameters of these shapes after a fill. */
async function filled(shapes: number[][], settings: RandomFillSettings): Promise<Float32Array[]> {
  const parameters = shapes.map((shape, i) => new Parameter(`parameter ${i}`, shape));
  for (const parameter of parameters) parameter.allocate(device);
  const program = await compile(device, {}, () => {
    randomFill(parameters, settings);
    return {};
  });
  await program({});
  const values = await Promise.all(parameters.map(async (parameter) => (await parameter.read()).toFloat32()));
  program.dispose();
  for (const parameter of parameters) parameter.dispose();
  return values;
}

function moments(x: Float32Array) {
  const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
  return { mean, variance: dot(x, x) / x.length - mean * mean };
}

test("fills with normal deviates of the given mean and deviation", async () => {
  const [x] = await filled([[300, 257]], { means: [3], deviations: [0.5], seed: 1 });
  const { mean, variance } = moments(x!);
  expect(mean).toBeCloseTo(3, 2);
  expect(variance).toBeCloseTo(0.25, 2);
  // 4.55 % of a normal distribution are beyond two standard deviations.
  expect(x!.filter((v) => Math.abs(v - 3) > 1).length / x!.length).toBeCloseTo(0.0455, 2);
});

test("redraws values beyond the cut", async () => {
  const [x] = await filled([[300, 257]], { means: [0], deviations: [0.02], cut: 2, seed: 1 });
  expect(Math.max(...x!.map(Math.abs))).toBeLessThanOrEqual(Math.fround(0.04));
  expect(moments(x!).variance / 0.02 ** 2).toBeCloseTo(0.7737, 1);
});

test("a parameter's values depend only on its index and the seed", async () => {
  const settings = { means: [0, 0], deviations: [1, 1], seed: 5 };
  const [a, b] = await filled([[33], [77]], settings);
  const [alone] = await filled([[77]], { means: [0], deviations: [1], seed: 5, first: 1 });
  expect(alone).toEqual(b);
  expect(a).not.toEqual(b!.subarray(0, 33));
  const [other] = await filled([[33]], { means: [0], deviations: [1], seed: 6 });
  expect(other).not.toEqual(a);
});
