import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import { siglipLoss } from "../../lib/losses/siglip_loss";

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
