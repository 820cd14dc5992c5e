import { compile, spec } from "../lib/compile";
import { Device } from "../lib/device";
import { grad } from "../lib/grad";
import { multiply } from "../lib/ops/elementwise";
import { layerNorm } from "../lib/ops/layer_norm";
import { linear } from "../lib/ops/linear";
import { sum } from "../lib/ops/reduce";
import type { Tensor } from "../lib/tensor";

const [ROWS, WIDTH] = [3, 8];
const wave = (count: number, pace: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(pace * i + 1));
const data = {
  x: wave(ROWS * WIDTH, 0.7),
  w: wave(WIDTH * WIDTH, 0.3),
  scale: wave(WIDTH, 0.2),
  shift: wave(WIDTH, 0.9),
  target: wave(ROWS * WIDTH, 1.1),
};
const specs = {
  x: spec("f32", [ROWS, WIDTH]),
  w: spec("f32", [WIDTH, WIDTH]),
  scale: spec("f32", [WIDTH]),
  shift: spec("f32", [WIDTH]),
  target: spec("f32", [ROWS, WIDTH]),
};
type Inputs = Record<keyof typeof specs, Tensor>;

/** A pre-norm branch and its residual: x is used twice. */
const branch = ({ x, w, scale, shift, target }: Inputs) =>
  sum(multiply(linear(layerNorm(x, scale, shift), [w], [], { residual: x }), target));

describe("gradients that a kernel adds on its way", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
  });
  afterAll(() => device.dispose());

  async function run(body: (x: Inputs) => Tensor) {
    const program = await compile(device, specs, (x) => {
      const loss = body(x);
      return { loss, dx: grad(loss, [x.x])[0]! };
    });
    await program.startProfile();
    const { loss, dx } = await program(data);
    const ops = (await program.profile()).map(({ op }) => op);
    const lossAt = async (x: Float32Array) => (await program({ ...data, x })).loss.item();
    return { loss, dx: dx.toFloat32(), ops, lossAt };
  }

  test("layer norm takes the residual's along: no op adds the two", async () => {
    const { ops } = await run(branch);
    expect(ops).toContain("layer_norm_backward");
    expect(ops).not.toContain("add");
  });

  test.each([
    ["a branch with its residual", branch],
    [
      "a norm whose residual is its own input",
      ({ x, scale, shift, target }: Inputs) =>
        sum(multiply(layerNorm(x, scale, shift, { residual: x }), target)),
    ],
    [
      "two norms of one value",
      ({ x, scale, shift, target }: Inputs) =>
        sum(multiply(multiply(layerNorm(x, scale, shift), layerNorm(x, shift, scale)), target)),
    ],
  ])("%s: as finite differences", async (_, body) => {
    const { dx, lossAt } = await run(body);
    const step = 1e-2;
    for (let i = 0; i < data.x.length; i++) {
      const [up, down] = [data.x.slice(), data.x.slice()];
      up[i]! += step;
      down[i]! -= step;
      expect(dx[i]).toBeCloseTo(((await lossAt(up)) - (await lossAt(down))) / (2 * step), 2);
    }
  });
});
