import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { AdamW } from "../../lib/optim/adamw";
import { Parameter } from "../../lib/parameter";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

/** AdamW as the paper writes it, in double precision. */
function reference(
  values: number[],
  gradients: number[][],
  rate: number,
  decay: number,
  clip: number,
): number[] {
  const [beta1, beta2, eps] = [0.9, 0.98, 1e-6];
  const p = [...values];
  const m = values.map(() => 0);
  const v = values.map(() => 0);
  gradients.forEach((gradient, index) => {
    const t = index + 1;
    const norm = Math.hypot(...gradient);
    gradient.forEach((raw, i) => {
      const g = raw * Math.min(1, clip / (norm + 1e-6));
      m[i] = beta1 * m[i]! + (1 - beta1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      const update = m[i]! / (1 - beta1 ** t) / (Math.sqrt(v[i]! / (1 - beta2 ** t)) + eps);
      p[i]! -= rate * (update + decay * p[i]!);
    });
  });
  return p;
}

async function updated(gradients: number[][], clipNorm: number) {
  const values = [0.5, -0.25, 1, 2];
  const parameter = new Parameter("weight", [4]);
  parameter.allocate(device);
  await parameter.write(Float32Array.from(values));
  const rule = { parameter, tower: "image", layerScale: 1, learningRate: 0.02, weightDecay: 0.1 } as const;
  const optimizer = new AdamW([rule], { clipNorm });
  await optimizer.allocate(device);
  const inputs = { gradient: spec("f32", [4]), learningRates: spec("f32", [1]), step: spec("i32", []) };
  const program = await compile(device, inputs, ({ gradient, learningRates, step }) => ({
    norm: optimizer.update([gradient], { learningRates, step }).gradientNorm,
  }));
  let norm = 0;
  for (const [i, gradient] of gradients.entries()) {
    const time = { learningRates: optimizer.learningRatesAt(0.5), step: Int32Array.of(i + 1) };
    norm = (await program({ gradient: Float32Array.from(gradient), ...time })).norm.item();
  }
  const found = { norm, values: Array.from((await parameter.read()).data), start: values };
  const moments = await Promise.all(optimizer.state().map((moment) => moment.read()));
  program.dispose();
  optimizer.dispose();
  parameter.dispose();
  return { ...found, moments: moments.map(({ data }) => Array.from(data)) };
}

test.each([0.3, 100])("follows the paper, gradients clipped to a norm of %d", async (clipNorm) => {
  const gradients = [
    [0.1, -0.2, 0.3, 0.4],
    [-0.1, 0.1, 0.2, -0.3],
    [1, 2, -3, 0],
  ];
  const { values, start } = await updated(gradients, clipNorm);
  const expected = reference(start, gradients, 0.01, 0.1, clipNorm);
  expected.forEach((value, i) => expect(values[i]).toBeCloseTo(value, 5));
});

test("a gradient that is not finite changes neither parameters nor moments", async () => {
  const { norm, values, start, moments } = await updated([[1, Number.NaN, 0, 0]], 1);
  expect(norm).toBeNaN();
  expect(values).toEqual(start);
  for (const moment of moments) expect(moment).toEqual([0, 0, 0, 0]);
});
