import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import { siglipLoss } from "../../lib/losses/siglip_loss";

import { checkGradients, f32 } from "../support/gradient_check";

const [BATCH, EMBED] = [3, 4];
const image = Float32Array.from({ length: BATCH * EMBED }, (_, i) => Math.sin(i + 1) / 2);
const text = Float32Array.from({ length: BATCH * EMBED }, (_, i) => Math.cos(2 * i) / 2);
const [logitScale, logitBias] = [1.3, -0.8];

/** The loss in double precision, term by term. */
function reference(x: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < BATCH; i++) {
    for (let j = 0; j < BATCH; j++) {
      let cosine = 0;
      for (let e = 0; e < EMBED; e++) cosine += x[i * EMBED + e]! * text[j * EMBED + e]!;
      const logit = Math.exp(logitScale) * cosine + logitBias;
      sum += Math.log1p(Math.exp(i === j ? -logit : logit));
    }
  }
  return sum / BATCH;
}

describe("siglipLoss", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
  });
  afterAll(() => device.dispose());

  async function run() {
    const features = spec("f32", [BATCH, EMBED]);
    const specs = {
      image: features,
      text: features,
      logitScale: spec("f32", []),
      logitBias: spec("f32", []),
    };
    const program = await compile(device, specs, (x) => {
      const loss = siglipLoss(x.image, x.text, x.logitScale, x.logitBias);
      const [dimage, dscale] = grad(loss, [x.image, x.logitScale]);
      return { loss, dimage: dimage!, dscale: dscale! };
    });
    const scalars = { logitScale: Float32Array.of(logitScale), logitBias: Float32Array.of(logitBias) };
    return program({ image, text, ...scalars });
  }

  test("is the mean over images of the pairs' losses", async () => {
    expect((await run()).loss.item()).toBeCloseTo(reference(image), 5);
  });

  test("it is exact where pairs are almost certain, whose gradients do not round away", async () => {
    const row = (...values: number[]) => Float32Array.from(values);
    const specs = { x: spec("f32", [2, 2]), scale: spec("f32", []), bias: spec("f32", []) };
    const program = await compile(device, specs, ({ x, scale, bias }) => {
      const loss = siglipLoss(x, x, scale, bias);
      const [dscale, dbias] = grad(loss, [scale, bias]);
      return { loss, dscale: dscale!, dbias: dbias! };
    });
    // Pairs have the logit 60 - 30, others -60 - 30.
    const given = { x: row(1, 0, -1, 0), scale: row(Math.log(60)), bias: row(-30) };
    const { loss, dscale, dbias } = await program(given);
    const relative = (found: number, expected: number) => Math.abs(found / expected - 1);
    expect(relative(loss.item(), Math.log1p(Math.exp(-30)))).toBeLessThan(1e-4);
    expect(relative(dbias.item(), -1 / (1 + Math.exp(30)))).toBeLessThan(1e-4);
    expect(relative(dscale.item(), -60 / (1 + Math.exp(30)))).toBeLessThan(1e-4);
    program.dispose();
  });

  test("its gradients hold for all inputs", async () => {
    const inputs = {
      image: f32([BATCH, EMBED], image),
      text: f32([BATCH, EMBED], text),
      scale: f32([], Float32Array.of(logitScale)),
      bias: f32([], Float32Array.of(logitBias)),
    };
    await checkGradients(device, inputs, (x) => siglipLoss(x.image!, x.text!, x.scale!, x.bias!));
  });

  test("its gradient is that of finite differences", async () => {
    const { dimage, dscale } = await run();
    const step = 1e-3;
    for (let i = 0; i < image.length; i++) {
      const [up, down] = [image.slice(), image.slice()];
      up[i]! += step;
      down[i]! -= step;
      expect(dimage.toFloat32()[i]).toBeCloseTo((reference(up) - reference(down)) / (2 * step), 3);
    }
    expect(dscale.shape).toEqual([]);
  });
});
