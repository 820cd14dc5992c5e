import { Device } from "../../lib/device";
import { concat, gatherRows, meanTokens, pad, slice, transpose } from "../../lib/ops/layout";
import { checkGradients, evaluate, f32, i32 } from "../support/gradient_check";
import { relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

test.each([
  [1, 5, 7],
  [3, 33, 70],
  [2, 77, 1],
])("transpose of %i matrices of %i × %i", async (batch, m, n) => {
  const x = f32([batch, m, n]);
  const y = await checkGradients(device, { x }, (inputs) => transpose(inputs.x!));
  const expected = Float32Array.from({ length: y.length }, (_, at) => {
    const [b, j, i] = [Math.floor(at / (m * n)), Math.floor(at / m) % n, at % m];
    return x.data[(b * m + i) * n + j]!;
  });
  expect(y).toEqual(expected);
});

test("concat concatenates rows", async () => {
  const inputs = { a: f32([2, 3, 5]), b: f32([1, 3, 5], undefined, 2), c: f32([4, 3, 5], undefined, 3) };
  const y = await checkGradients(device, inputs, ({ a, b, c }) => concat([a!, b!, c!]));
  expect([...y]).toEqual([...inputs.a.data, ...inputs.b.data, ...inputs.c.data]);
});

test("slice and pad are each other's gradients", async () => {
  const x = f32([6, 11]);
  const part = await checkGradients(device, { x }, (inputs) => slice(inputs.x!, 2, 5));
  expect([...part]).toEqual([...x.data.subarray(22, 55)]);
  const whole = await checkGradients(device, { x }, (inputs) => pad(inputs.x!, 1, 9));
  expect([...whole]).toEqual([...new Array(11).fill(0), ...x.data, ...new Array(22).fill(0)]);
});

describe("gatherRows", () => {
  test("sums the gradients of rows gathered twice", async () => {
    const inputs = { x: f32([2, 4, 19]), index: i32(7, 0, 3, 0) };
    const y = await checkGradients(device, inputs, ({ x, index }) => gatherRows(x!, index!));
    const expected = [...inputs.index.data].flatMap((row) => [
      ...inputs.x.data.subarray(row * 19, (row + 1) * 19),
    ]);
    expect([...y]).toEqual(expected);
  });

  test.each([-1, 8])("refuses row %i", async (row) => {
    const inputs = { x: f32([2, 4, 19]), index: i32(0, row) };
    await expect(evaluate(device, inputs, ({ x, index }) => gatherRows(x!, index!))).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringContaining(`index[1] is ${row}`),
    });
  });
});

test.each([0, 1, 98])("meanTokens from token %i of 99", async (begin) => {
  const x = f32([3, 99, 22]);
  const y = await checkGradients(device, { x }, (inputs) => meanTokens(inputs.x!, begin));
  const expected = new Float64Array(3 * 22);
  x.data.forEach((v, i) => {
    const token = Math.floor(i / 22) % 99;
    if (token >= begin) expected[Math.floor(i / (99 * 22)) * 22 + (i % 22)]! += v / (99 - begin);
  });
  expect(relativeError(y, expected)).toBeLessThan(1e-6);
});
