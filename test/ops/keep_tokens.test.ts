import { Device } from "../../lib/device";
import { dropPath, keepTokens } from "../../lib/ops/keep_tokens";
import type { Tensor } from "../../lib/tensor";
import { checkGradients, evaluate, f32, i32 } from "../support/gradient_check";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

async function kept(
  seed: number,
  step: number,
  batch: number,
  tokens: number,
  keep: number,
): Promise<number[]> {
  const body = (x: Record<string, Tensor>) => keepTokens(x.seed!, batch, tokens, keep);
  return [...(await evaluate(device, { seed: i32(seed, step) }, body)).data];
}

describe("keepTokens", () => {
  test("keeps distinct patches in ascending order", async () => {
    const [batch, tokens, keep] = [64, 197, 98];
    const indices = await kept(1, 2, batch, tokens, keep);
    indices.forEach((index, i) => {
      expect(index).toBeLessThan(tokens);
      expect(index).toBeGreaterThan(i % keep === 0 ? -1 : indices[i - 1]!);
    });
    // All patches are equally likely: 64 draws with probability 1/2 have a standard deviation of 4.
    const counts = new Array(tokens).fill(0);
    for (const index of indices) counts[index]++;
    expect(Math.min(...counts)).toBeGreaterThan(32 - 5 * 4);
    expect(Math.max(...counts)).toBeLessThan(32 + 5 * 4);
  });

  test("depends on the seed and the step, and on nothing else", async () => {
    const first = await kept(7, 3, 4, 49, 24);
    expect(await kept(7, 3, 4, 49, 24)).toEqual(first);
    expect((await kept(7, 3, 2, 49, 24)).slice()).toEqual(first.slice(0, 48));
    expect(await kept(7, 4, 4, 49, 24)).not.toEqual(first);
    expect(await kept(8, 3, 4, 49, 24)).not.toEqual(first);
  });

  test("can keep all of them", async () => {
    expect(await kept(1, 1, 1, 5, 5)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe("dropPath", () => {
  const rate = 0.4;
  const seed = i32(5, 6);

  test("drops whole samples and scales the others, and so does its gradient", async () => {
    const x = f32([64, 3, 7]);
    const y = await checkGradients(device, { x, seed }, (inputs) =>
      dropPath(inputs.x!, { seed: inputs.seed!, rate, stream: 1 }),
    );
    let dropped = 0;
    for (let sample = 0; sample < 64; sample++) {
      const gone = y[sample * 21] === 0;
      dropped += Number(gone);
      for (let i = sample * 21; i < (sample + 1) * 21; i++) {
        expect(y[i]).toBeCloseTo(gone ? 0 : x.data[i]! / (1 - rate), 5);
      }
    }
    expect(dropped).toBeGreaterThan(10);
    expect(dropped).toBeLessThan(42);
  });

  test("adds the residual; streams are independent", async () => {
    const inputs = { x: f32([64, 7]), residual: f32([64, 7], undefined, 2), seed };
    const stream = (which: number) => (x: Record<string, Tensor>) =>
      dropPath(x.x!, { seed: x.seed!, rate, stream: which, residual: x.residual! });
    const y = await checkGradients(device, inputs, stream(1));
    const kept = (values: ArrayLike<number>) =>
      Array.from({ length: 64 }, (_, sample) => values[sample * 7] !== inputs.residual.data[sample * 7]);
    expect(new Set(kept(y)).size).toBe(2);
    expect(kept((await evaluate(device, inputs, stream(2))).toFloat32())).not.toEqual(kept(y));
  });
});
