import { checkpoint } from "../lib/checkpoint";
import { compile, spec } from "../lib/compile";
import { Device } from "../lib/device";
import { grad } from "../lib/grad";
import { gelu, multiply } from "../lib/ops/elementwise";
import { layerNorm } from "../lib/ops/layer_norm";
import { linear } from "../lib/ops/linear";
import { sum } from "../lib/ops/reduce";
import type { Tensor } from "../lib/tensor";
import { TrainingStep } from "../lib/train/training_step";
import { contentOf, tinyBatch, tinyConfig, tinyTraining } from "./support/tiny_clip";

const [ROWS, WIDTH] = [6, 8];
const wave = (count: number, pace: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(pace * i + 1));
const specs = {
  x: spec("f32", [ROWS, WIDTH]),
  w: spec("f32", [WIDTH, WIDTH]),
  scale: spec("f32", [WIDTH]),
  shift: spec("f32", [WIDTH]),
};
const data = {
  x: wave(ROWS * WIDTH, 0.7),
  w: wave(WIDTH * WIDTH, 0.3),
  scale: wave(WIDTH, 0.2),
  shift: wave(WIDTH, 0.9),
};

describe("activation checkpointing", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 2 });
  });
  afterAll(() => device.dispose());

  /** Four blocks that share their parameters. */
  async function gradients(apply: (body: (x: Tensor) => Tensor, x: Tensor) => Tensor) {
    const program = await compile(device, specs, ({ x, w, scale, shift }) => {
      const block = (input: Tensor) =>
        gelu(linear(layerNorm(input, scale, shift), [w], [], { residual: input }));
      let y = x;
      for (let i = 0; i < 4; i++) y = apply(block, y);
      const loss = sum(multiply(y, y));
      const [dx, dw, dscale, dshift] = grad(loss, [x, w, scale, shift]);
      return { loss, dx: dx!, dw: dw!, dscale: dscale!, dshift: dshift! };
    });
    const outputs = await program(data);
    return {
      numbers: Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, [...t.data]])),
      stats: program.stats(),
    };
  }

  test("gives the same bits in less memory, by computing the blocks twice", async () => {
    const kept = await gradients((body, x) => body(x));
    const again = await gradients(checkpoint);
    expect(again.numbers).toEqual(kept.numbers);
    expect(again.stats.kernels).toBeGreaterThan(kept.stats.kernels);
    expect(again.stats.arenaBytes).toBeLessThan(kept.stats.arenaBytes);
  });

  test("a frozen operand costs nothing, and an operand that is not used has no gradient", async () => {
    const record = (loss: (x: Record<keyof typeof specs, Tensor>) => Tensor[]) =>
      compile(device, specs, (x) => ({ y: loss(x)[0]! }));
    const program = await record(({ x, w }) => grad(sum(checkpoint((y) => linear(y, [w]), x)), [w]));
    await program.startProfile();
    await program(data);
    expect((await program.profile()).map(({ op }) => op)).not.toContain("linear_input_gradient");
    await expect(
      record(({ x, w, scale }) => grad(sum(checkpoint((y) => linear(y, [w]), x)), [scale])),
    ).rejects.toMatchObject({ code: "ERR_EVACLIP_NO_GRADIENT" });
  });

  test.each(["f32", "bf16"] as const)(
    "trains a model to the same weights in %s, drop path included",
    async (type) => {
      const weights: string[] = [];
      const memory: number[] = [];
      const vision = { ...tinyConfig.vision_cfg, drop_path_rate: 0.3, layers: 4 };
      for (const gradCheckpointing of [false, true]) {
        const config = { vision_cfg: vision as typeof tinyConfig.vision_cfg };
        const { model, optimizer } = await tinyTraining(device, { type, config });
        await optimizer.allocate(device);
        const step = new TrainingStep({ device, model, optimizer, gradCheckpointing });
        for (let i = 0; i < 3; i++) {
          const learningRates = optimizer.learningRatesAt(1);
          await step.run(tinyBatch(i), { step: i, learningRates, seed: 1, patchDropout: 0.5 });
        }
        memory.push(Math.max(...(await step.programs()).map((program) => program.stats().arenaBytes)));
        weights.push(JSON.stringify(await contentOf(model.parameters())));
        step.dispose();
        optimizer.dispose();
        model.dispose();
      }
      expect(weights[1] === weights[0]).toBe(true); // a difference would take minutes to print
      expect(memory[1]).toBeLessThan(memory[0]!);
    },
  );
});
