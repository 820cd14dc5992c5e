import { Device } from "../../lib/device";
import { embedding } from "../../lib/ops/embedding";
import type { Tensor } from "../../lib/tensor";
import { checkGradients, evaluate, f32, i32 } from "../support/gradient_check";
import { relativeError } from "../support/numbers";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

const columns = 22;
const tokens = [3, 10, 0, 3, 3, 7, 3, 0, 0];
const places = [0, 1, 2, 0, 1, 2, 3];
const inputs = {
  tokens: i32(...tokens),
  cuSeqlens: i32(0, 3, 3, 7),
  table: f32([11, columns]),
  positions: f32([5, columns], undefined, 2),
};

function embed({ tokens, cuSeqlens, table, positions }: Record<string, Tensor>): Tensor {
  return embedding({ tokens: tokens!, cuSeqlens: cuSeqlens! }, table!, positions!);
}

test("adds positions to tokens, and sets padding to zero", async () => {
  const y = await checkGradients(device, inputs, embed);
  const expected = Float64Array.from({ length: tokens.length * columns }, (_, i) => {
    const t = Math.floor(i / columns);
    if (t >= places.length) return 0;
    const position = inputs.positions.data[places[t]! * columns + (i % columns)]!;
    return inputs.table.data[tokens[t]! * columns + (i % columns)]! + position;
  });
  expect(relativeError(y, expected)).toBeLessThan(1e-6);
});

test.each([
  ["a token beyond the vocabulary", { tokens: i32(3, 10, 11, 0, 0, 0, 0, 0, 0) }, /token 2 is 11.*11 ids/],
  ["a negative token", { tokens: i32(3, -1, 1, 0, 0, 0, 0, 0, 0) }, /token 1 is -1/],
  ["a caption longer than the context", { cuSeqlens: i32(0, 0, 1, 7) }, /sequence 2 has 6 tokens.* 5/],
  ["more tokens than there are", { cuSeqlens: i32(0, 4, 8, 10) }, /cu_seqlens\[3\] is 10.* 9 tokens/],
  ["captions that run backwards", { cuSeqlens: i32(0, 4, 2, 7) }, /cu_seqlens\[2\]/],
])("refuses %s", async (_, bad, message) => {
  await expect(evaluate(device, { ...inputs, ...bad }, embed)).rejects.toMatchObject({
    code: "ERR_EVACLIP_DATA",
    message: expect.stringMatching(message),
  });
});
