import { Device } from "../../lib/device";
import { l2Normalize } from "../../lib/ops/l2_normalize";
import { checkGradients, evaluate, f32 } from "../support/gradient_check";
import { dot, relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

test.each([[[1, 22]], [[77, 64]], [[3, 5, 257]]])("l2Normalize of %j", async (shape) => {
  const x = f32(shape);
  const y = await checkGradients(device, { x }, (inputs) => l2Normalize(inputs.x!));
  const columns = shape.at(-1)!;
  const expected = x.data.map((v, i) => {
    const row = x.data.subarray(i - (i % columns), i - (i % columns) + columns);
    return v / Math.sqrt(dot(row, row));
  });
  expect(relativeError(y, expected)).toBeLessThan(1e-6);
});

test("a row of zeros stays zero", async () => {
  const y = await evaluate(device, { x: f32([2, 5], new Float32Array(10)) }, (inputs) =>
    l2Normalize(inputs.x!),
  );
  expect([...y.data]).toEqual(new Array(10).fill(0));
});
