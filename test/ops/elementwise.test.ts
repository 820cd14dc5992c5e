import { Device } from "../../lib/device";
import { HostTensor } from "../../lib/host_tensor";
import {
  add,
  cast,
  divide,
  exp,
  gelu,
  log,
  multiply,
  negate,
  quickGelu,
  scale,
  sigmoid,
  softplus,
  sqrt,
  subtract,
  tanh,
} from "../../lib/ops/elementwise";
import type { Operand, Tensor } from "../../lib/tensor";
import { checkGradients, evaluate, f32 } from "../support/gradient_check";
import { relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

const logistic = (x: number) => 1 / (1 + Math.exp(-x));

/** The normal CDF, as the sum of a power series. */
function normalDistribution(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (-x * x) / (2 * n);
    sum += term / (2 * n + 1);
  }
  return 0.5 + sum / Math.sqrt(2 * Math.PI);
}

const unary: [string, (x: Operand) => Tensor, (x: number) => number][] = [
  ["exp", exp, Math.exp],
  ["tanh", tanh, Math.tanh],
  ["sigmoid", sigmoid, logistic],
  ["softplus", softplus, (x) => Math.log1p(Math.exp(x))],
  ["gelu", gelu, (x) => x * normalDistribution(x)],
  ["quickGelu", quickGelu, (x) => x * logistic(1.702 * x)],
  ["scale", (x) => scale(x, -2, 0.5), (x) => 0.5 - 2 * x],
  ["negate", negate, (x) => -x],
];
const ofPositive: typeof unary = [
  ["log", log, Math.log],
  ["sqrt", sqrt, Math.sqrt],
];

describe("functions of one tensor", () => {
  test.each(unary)("%s", async (_, op, expected) => {
    const x = f32([7, 23]);
    const y = await checkGradients(device, { x }, (inputs) => op(inputs.x!));
    expect(relativeError(y, Array.from(x.data, expected))).toBeLessThan(1e-6);
  });

  test.each(ofPositive)("%s", async (_, op, expected) => {
    const x = f32(
      [7, 23],
      f32([7, 23]).data.map((v) => 2.5 + v),
    );
    const y = await checkGradients(device, { x }, (inputs) => op(inputs.x!));
    expect(relativeError(y, Array.from(x.data, expected))).toBeLessThan(1e-6);
  });
});

const binary: [string, (a: Operand, b: Operand) => Tensor, (a: number, b: number) => number][] = [
  ["add", add, (a, b) => a + b],
  ["subtract", subtract, (a, b) => a - b],
  ["multiply", multiply, (a, b) => a * b],
  ["divide", divide, (a, b) => a / b],
];

describe("functions of two tensors", () => {
  describe.each(binary)("%s", (_, op, expected) => {
    test.each([[[3, 5, 19]], [[5, 19]], [[19]], [[]]])("with %j broadcast", async (shape) => {
      const a = f32([3, 5, 19]);
      const b = f32(
        shape,
        f32(shape, undefined, 2).data.map((v) => v + 3),
      );
      const y = await checkGradients(device, { a, b }, (x) => op(x.a!, x.b!));
      const repeated = Array.from(a.data, (v, i) => expected(v, b.data[i % b.data.length]!));
      expect(relativeError(y, repeated)).toBeLessThan(1e-6);
    });
  });

  test("the smaller operand of add and multiply may come first", async () => {
    const inputs = { a: f32([4]), b: f32([3, 4], undefined, 2) };
    const y = await checkGradients(device, inputs, (x) => multiply(x.a!, add(x.a!, x.b!)));
    const expected = Array.from(inputs.b.data, (b, i) => inputs.a.data[i % 4]! * (inputs.a.data[i % 4]! + b));
    expect(relativeError(y, expected)).toBeLessThan(1e-6);
  });

  test("names incompatible shapes", async () => {
    const inputs = { a: f32([3, 4]), b: f32([3]) };
    await expect(evaluate(device, inputs, (x) => add(x.a!, x.b!))).rejects.toMatchObject({
      code: "ERR_EVACLIP_SHAPE",
      message: expect.stringContaining("[3, 4]"),
    });
  });
});

describe("cast", () => {
  test("to bf16 rounds to nearest even, and back is exact", async () => {
    const x = f32([5], Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3.14159274, 65504));
    const narrow = await evaluate(device, { x }, (inputs) => cast(inputs.x!, "bf16"));
    expect(narrow.dtype).toBe("bf16");
    const expected = [1, 1, 1 + 4 * 2 ** -8, -3.140625, 65536];
    expect([...narrow.toFloat32()]).toEqual(expected);
    const wide = await evaluate(device, { x: narrow }, (inputs) => cast(inputs.x!, "f32"));
    expect([...(wide.data as Float32Array)]).toEqual(expected);
  });

  test("gradients pass through in the operand's type", async () => {
    const inputs = {
      x: f32(
        [33],
        f32([33]).data.map((v) => Math.round(8 * v) / 8),
      ),
    };
    const y = await checkGradients(device, inputs, ({ x }) => cast(cast(x!, "bf16"), "f32"), {
      step: 1 / 8,
      tolerance: 0.05,
    });
    expect([...y]).toEqual([...inputs.x.data]);
  });

  test("bf16 tensors compute in f32 and round once", async () => {
    const bits = Uint16Array.of(0x3f80, 0x3f81, 0x4049, 0xc000);
    const x = new HostTensor("bf16", [4], bits);
    const y = await evaluate(device, { x }, (inputs) => multiply(inputs.x!, inputs.x!));
    const squares = x.toFloat32().map((v) => v * v);
    expect(relativeError(y.toFloat32(), squares)).toBeLessThan(2 ** -8);
  });
});
