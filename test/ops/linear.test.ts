import { Device } from "../../lib/device";
import { add, cast, gelu, quickGelu } from "../../lib/ops/elementwise";
import { linear, matmul } from "../../lib/ops/linear";
import { checkGradients, evaluate, f32 } from "../support/gradient_check";
import { relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

/** x Wᵀ + b in double precision. */
function reference(x: Float32Array, w: Float32Array, b: Float32Array | null, inner: number): Float64Array {
  const [rows, outer] = [x.length / inner, w.length / inner];
  const y = new Float64Array(rows * outer);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < outer; j++) {
      let sum = b ? b[j]! : 0;
      for (let k = 0; k < inner; k++) sum += x[row * inner + k]! * w[j * inner + k]!;
      y[row * outer + j] = sum;
    }
  }
  return y;
}

describe("linear", () => {
  test.each([
    [1, 1, 1],
    [3, 5, 7],
    [77, 64, 192],
    [5, 2730, 16],
    [5, 16, 2730],
  ])("%i rows of %i → %i", async (rows, inner, outer) => {
    const inputs = {
      x: f32([rows, inner]),
      w: f32([outer, inner], undefined, 2),
      b: f32([outer], undefined, 3),
    };
    const y = await evaluate(device, inputs, ({ x, w, b }) => linear(x!, [w!], [b!]));
    expect(y.shape).toEqual([rows, outer]);
    const expected = reference(inputs.x.data, inputs.w.data, inputs.b.data, inner);
    expect(relativeError(y.data, expected)).toBeLessThan(2e-6);
  });

  test("several weights share one output, and single biases may be absent", async () => {
    const inputs = {
      x: f32([4, 2, 6]),
      q: f32([5, 6], undefined, 2),
      k: f32([3, 6], undefined, 3),
      b: f32([5], undefined, 4),
    };
    const y = await evaluate(device, inputs, ({ x, q, k, b }) => linear(x!, [q!, k!], [b!, null]));
    expect(y.shape).toEqual([4, 2, 8]);
    const left = reference(inputs.x.data, inputs.q.data, inputs.b.data, 6);
    const right = reference(inputs.x.data, inputs.k.data, null, 6);
    const expected = Array.from({ length: 8 }, (_, row) => [
      ...left.subarray(row * 5, row * 5 + 5),
      ...right.subarray(row * 3, row * 3 + 3),
    ]);
    expect(relativeError(y.data, expected.flat())).toBeLessThan(2e-6);
  });

  test.each(["gelu", "quick_gelu"] as const)("%s is the same fused and separate", async (activation) => {
    const inputs = {
      x: f32([9, 20]),
      w: f32([33, 20], undefined, 2),
      b: f32([33], undefined, 3),
      r: f32([9, 33], undefined, 4),
    };
    const after = activation === "gelu" ? gelu : quickGelu;
    const fused = await evaluate(device, inputs, ({ x, w, b, r }) =>
      linear(x!, [w!], [b!], { activation, residual: r! }),
    );
    const apart = await evaluate(device, inputs, ({ x, w, b, r }) => add(after(linear(x!, [w!], [b!])), r!));
    expect(relativeError(fused.data, apart.data)).toBeLessThan(2e-6);
  });

  test.each([
    ["plain", {}],
    ["gelu", { activation: "gelu" }],
    ["quick_gelu", { activation: "quick_gelu" }],
  ] as const)("gradients, %s, with a residual", async (_, options) => {
    const inputs = {
      x: f32([7, 10]),
      w: f32([6, 10], undefined, 2),
      v: f32([3, 10], undefined, 3),
      b: f32([6], undefined, 4),
      r: f32([7, 9], undefined, 5),
    };
    await checkGradients(device, inputs, ({ x, w, v, b, r }) =>
      linear(x!, [w!, v!], [b!, null], { ...options, residual: r! }),
    );
  });

  test.each([
    [2730, 3],
    [3, 2730],
  ])("gradients of %i → %i", async (inner, outer) => {
    const inputs = {
      x: f32([4, inner]),
      w: f32([outer, inner], undefined, 2),
      b: f32([outer], undefined, 3),
    };
    await checkGradients(device, inputs, ({ x, w, b }) => linear(x!, [w!], [b!]));
  });

  test("bf16 activations with f32 weights are exact up to the rounding of bf16", async () => {
    const inputs = { x: f32([33, 64]), w: f32([48, 64], undefined, 2), b: f32([48], undefined, 3) };
    const y = await evaluate(device, inputs, ({ x, w, b }) =>
      cast(linear(cast(x!, "bf16"), [w!], [b!]), "f32"),
    );
    const expected = reference(inputs.x.data, inputs.w.data, inputs.b.data, 64);
    expect(relativeError(y.data, expected)).toBeLessThan(6e-3);
  });

  test("names wrong shapes", async () => {
    const inputs = { x: f32([2, 3]), w: f32([4, 5]) };
    const run = evaluate(device, inputs, ({ x, w }) => linear(x!, [w!]));
    await expect(run).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE", details: { field: "weight" } });
  });
});

describe("matmul", () => {
  test.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])("transposed %s, %s, with gradients", async (transposeA, transposeB) => {
    const inputs = {
      a: f32(transposeA ? [2, 7, 5] : [2, 5, 7]),
      b: f32(transposeB ? [2, 3, 7] : [2, 7, 3], undefined, 2),
    };
    const body = ({ a, b }: Record<string, Parameters<typeof matmul>[0]>) =>
      matmul(a!, b!, { transposeA, transposeB });
    const y = await evaluate(device, inputs, body);
    const at = (
      data: Float32Array,
      batch: number,
      i: number,
      j: number,
      rows: number,
      columns: number,
      t: boolean,
    ) => data[batch * rows * columns + (t ? j * rows + i : i * columns + j)]!;
    const expected: number[] = [];
    for (let batch = 0; batch < 2; batch++)
      for (let i = 0; i < 5; i++)
        for (let j = 0; j < 3; j++) {
          let sum = 0;
          for (let k = 0; k < 7; k++)
            sum +=
              at(inputs.a.data, batch, i, k, 5, 7, transposeA) *
              at(inputs.b.data, batch, k, j, 7, 3, transposeB);
          expected.push(sum);
        }
    expect(y.shape).toEqual([2, 5, 3]);
    expect(relativeError(y.data, expected)).toBeLessThan(2e-6);
    await checkGradients(device, inputs, body);
  });
});
