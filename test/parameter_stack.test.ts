import { compile, spec } from "../lib/compile";
import { Device } from "../lib/device";
import { grad } from "../lib/grad";
import { cast } from "../lib/ops/elementwise";
import { linear } from "../lib/ops/linear";
import { sum } from "../lib/ops/reduce";
import { allocateAll, Parameter } from "../lib/parameter";
import { stackParameters } from "../lib/parameter_stack";

const [ROWS, INPUTS] = [3, 4];
const wave = (count: number, pace: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(pace * i + 1));

/** q, k and v of a block, k without a bias; `isStacked`: next to each other in memory. */
function projections(isStacked: boolean) {
  const weights = ["q", "k", "v"].map((name) => new Parameter(`${name}.weight`, [5, INPUTS]));
  const [q, v] = ["q", "v"].map((name) => new Parameter(`${name}.bias`, [5])) as [Parameter, Parameter];
  if (isStacked) {
    stackParameters(weights);
    stackParameters([q, 5, v]);
  }
  return { weights, biases: [q, null, v], all: [...weights, q, v] };
}

describe("parameters that are stacked in memory", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
  });
  afterAll(() => device.dispose());

  async function results(isStacked: boolean, dtype: "f32" | "bf16" = "f32") {
    const { weights, biases, all } = projections(isStacked);
    allocateAll(all, device);
    for (const [i, parameter] of all.entries()) await parameter.write(wave(parameter.size, 0.3 + i));
    const program = await compile(device, { x: spec("f32", [ROWS, INPUTS]) }, ({ x }) => {
      const y = linear(dtype === "f32" ? x : cast(x, dtype), weights, biases);
      const loss = sum(cast(y, "f32"));
      return { y: cast(y, "f32"), ...Object.fromEntries(grad(loss, all).map((g, i) => [all[i]!.name, g])) };
    });
    await program.startProfile();
    const outputs = await program({ x: wave(ROWS * INPUTS, 0.7) });
    const ops = (await program.profile()).map(({ op }) => op);
    const numbers = Object.fromEntries(
      Object.entries(outputs).map(([name, tensor]) => [name, [...tensor.toFloat32()]]),
    );
    program.dispose();
    const contents = await Promise.all(all.map(async (parameter) => [...(await parameter.read()).data]));
    for (const parameter of all) parameter.dispose();
    return { numbers, ops, contents };
  }

  test.each(["f32", "bf16"] as const)(
    "give the results of separate ones, without a copy, in %s",
    async (dtype) => {
      const [together, apart] = [await results(true, dtype), await results(false, dtype)];
      expect(together.numbers).toEqual(apart.numbers);
      expect(together.contents).toEqual(apart.contents);
      expect(apart.ops).toContain("concat");
      expect(together.ops).not.toContain("concat");
      expect(together.ops.filter((op) => op.startsWith("linear"))).toEqual([
        "linear",
        "linear_weight_gradient",
      ]);
    },
  );

  test("are separate where their dtypes differ", async () => {
    const { weights } = projections(true);
    weights[0]!.allocate(device, "f32");
    weights[1]!.allocate(device, "bf16");
    weights[2]!.allocate(device, "f32");
    await weights[1]!.write(Uint16Array.from({ length: 20 }, (_, i) => 0x3f80 + i));
    await weights[0]!.write(wave(20, 1));
    expect((await weights[1]!.read()).data[3]).toBe(0x3f83);
    for (const weight of weights) weight.dispose();
  });

  test("can be allocated again after the last was disposed of", async () => {
    const { weights } = projections(true);
    for (let round = 0; round < 2; round++) {
      allocateAll(weights, device, () => (round === 0 ? "f32" : "bf16"));
      expect(weights.map(({ dtype }) => dtype)).toEqual(Array(3).fill(round === 0 ? "f32" : "bf16"));
      weights[0]!.dispose();
      expect(weights[1]!.allocated).toBe(true);
      for (const weight of weights) weight.dispose();
    }
  });
});
