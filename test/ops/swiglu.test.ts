import { Device } from "../../lib/device";
import { swiglu } from "../../lib/ops/swiglu";
import { checkGradients, f32 } from "../support/gradient_check";
import { relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

/** silu(gate) · value, row by row. */
function gated(x: Float32Array, hidden: number): Float64Array {
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const at = Math.floor(i / hidden) * 2 * hidden + (i % hidden);
    const gate = x[at]!;
    return (gate / (1 + Math.exp(-gate))) * x[at + hidden]!;
  });
}

function normalized(h: Float64Array, weight: Float32Array, bias: Float32Array): Float64Array {
  const hidden = weight.length;
  return h.map((_, i) => {
    const row = h.subarray(i - (i % hidden), i - (i % hidden) + hidden);
    const mean = row.reduce((sum, v) => sum + v, 0) / hidden;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / hidden;
    return ((h[i]! - mean) / Math.sqrt(variance + 1e-6)) * weight[i % hidden]! + bias[i % hidden]!;
  });
}

describe("swiglu", () => {
  test.each([
    [1, 2730],
    [77, 22],
    [99, 64],
    [5, 3],
  ])("of %i rows of %i and its gradient", async (rows, hidden) => {
    const inputs = { x: f32([rows, 2 * hidden]) };
    const y = await checkGradients(device, inputs, ({ x }) => swiglu(x!));
    expect(relativeError(y, gated(inputs.x.data, hidden))).toBeLessThan(1e-6);
  });

  test.each([
    [2, 2730],
    [77, 22],
    [129, 88],
  ])("with its layer norm, of %i rows of %i", async (rows, hidden) => {
    const inputs = {
      x: f32([rows, 2 * hidden]),
      weight: f32([hidden], undefined, 2),
      bias: f32([hidden], undefined, 3),
    };
    const y = await checkGradients(device, inputs, ({ x, weight, bias }) =>
      swiglu(x!, { weight: weight!, bias: bias! }),
    );
    const expected = normalized(gated(inputs.x.data, hidden), inputs.weight.data, inputs.bias.data);
    expect(relativeError(y, expected)).toBeLessThan(2e-6);
  });
});
