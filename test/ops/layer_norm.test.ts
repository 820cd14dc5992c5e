import { Device } from "../../lib/device";
import { layerNorm, rmsNorm } from "../../lib/ops/layer_norm";
import { checkGradients, evaluate, f32 } from "../support/gradient_check";
import { relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

function reference(x: Float32Array, weight: Float32Array, bias: Float32Array, eps: number): Float64Array {
  const columns = weight.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += columns) {
    const values = x.subarray(row, row + columns);
    const mean = values.reduce((sum, v) => sum + v / columns, 0);
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2 / columns, 0);
    values.forEach((v, i) => {
      y[row + i] = ((v - mean) / Math.sqrt(variance + eps)) * weight[i]! + bias[i]!;
    });
  }
  return y;
}

describe("layerNorm", () => {
  test.each([[[1, 1, 64]], [[77, 22]], [[2, 99, 33]], [[3, 2730]], [[257, 128]]])(
    "of %j and its gradient",
    async (shape) => {
      const columns = shape.at(-1)!;
      const inputs = {
        x: f32(shape),
        weight: f32([columns], undefined, 2),
        bias: f32([columns], undefined, 3),
      };
      const y = await checkGradients(device, inputs, ({ x, weight, bias }) =>
        layerNorm(x!, weight!, bias!, { eps: 1e-5 }),
      );
      expect(
        relativeError(y, reference(inputs.x.data, inputs.weight.data, inputs.bias.data, 1e-5)),
      ).toBeLessThan(1e-6);
    },
  );

  test("adds the residual, whose gradient is dy", async () => {
    const inputs = {
      x: f32([9, 45]),
      weight: f32([45], undefined, 2),
      bias: f32([45], undefined, 3),
      residual: f32([9, 45], undefined, 4),
    };
    const y = await checkGradients(device, inputs, ({ x, weight, bias, residual }) =>
      layerNorm(x!, weight!, bias!, { residual }),
    );
    const expected = reference(inputs.x.data, inputs.weight.data, inputs.bias.data, 1e-6);
    expect(
      relativeError(
        y,
        expected.map((v, i) => v + inputs.residual.data[i]!),
      ),
    ).toBeLessThan(1e-6);
  });

  test("keeps its precision far from zero", async () => {
    const near = f32([4, 128]).data;
    const far = near.map((v) => Math.fround(v + 1000));
    const inputs = {
      x: f32([4, 128], far),
      weight: f32([128], undefined, 2),
      bias: f32([128], undefined, 3),
    };
    const y = await evaluate(device, inputs, ({ x, weight, bias }) => layerNorm(x!, weight!, bias!));
    const expected = reference(far, inputs.weight.data, inputs.bias.data, 1e-6);
    expect(relativeError(y.toFloat32(), expected)).toBeLessThan(1e-4);
  });

  test("names a weight of the wrong size", async () => {
    const inputs = { x: f32([4, 8]), weight: f32([7]), bias: f32([8]) };
    await expect(
      evaluate(device, inputs, ({ x, weight, bias }) => layerNorm(x!, weight!, bias!)),
    ).rejects.toMatchObject({
      code: "ERR_EVACLIP_SHAPE",
      message: expect.stringContaining("weight must be [8]"),
    });
  });
});

describe("rmsNorm", () => {
  const rms = (x: Float32Array, weight: Float32Array, eps: number): Float64Array => {
    const columns = weight.length;
    return Float64Array.from(x, (value, at) => {
      const row = x.subarray(at - (at % columns), at - (at % columns) + columns);
      const meanSquare = row.reduce((sum, v) => sum + v ** 2 / columns, 0);
      return (value / Math.sqrt(meanSquare + eps)) * weight[at % columns]!;
    });
  };

  test.each([[[77, 22]], [[2, 99, 33]], [[3, 4096]], [[1, 1, 5]]])(
    "of %j and its gradient",
    async (shape) => {
      const inputs = { x: f32(shape), weight: f32([shape.at(-1)!], undefined, 2) };
      const y = await checkGradients(device, inputs, ({ x, weight }) => rmsNorm(x!, weight!, { eps: 1e-5 }));
      expect(relativeError(y, rms(inputs.x.data, inputs.weight.data, 1e-5))).toBeLessThan(1e-6);
    },
  );

  test("adds the residual, whose gradient is dy", async () => {
    const inputs = {
      x: f32([9, 45]),
      weight: f32([45], undefined, 2),
      residual: f32([9, 45], undefined, 4),
    };
    const y = await checkGradients(device, inputs, ({ x, weight, residual }) =>
      rmsNorm(x!, weight!, { residual }),
    );
    const expected = rms(inputs.x.data, inputs.weight.data, 1e-6).map((v, i) => v + inputs.residual.data[i]!);
    expect(relativeError(y, expected)).toBeLessThan(1e-6);
  });
});
