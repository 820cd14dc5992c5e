import { toBfloat16, toFloat32 } from "../../lib/io/float_conversion";

test("half precision: zero, subnormals, one, the largest, infinities, not a number", async () => {
  const bits = Uint16Array.of(
    0,
    0x8000,
    1,
    0x03ff,
    0x0400,
    0x3c00,
    0xc000,
    0x3555,
    0x7bff,
    0x7c00,
    0xfc00,
    0x7e00,
  );
  const expected = [
    0,
    -0,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    1,
    -2,
    0.333251953125,
    65504,
    Infinity,
    -Infinity,
    NaN,
  ];
  expect(Array.from(await toFloat32(bits, "F16"))).toEqual(expected);
});

test("bf16 is the upper half of f32, and rounding goes to the nearest, ties to even", async () => {
  const values = Float32Array.of(1, -2.5, 3.4e38, 0, Infinity, NaN);
  const back = Array.from(await toFloat32(await toBfloat16(values), "BF16"));
  expect(back.slice(0, 2)).toEqual([1, -2.5]);
  expect(back[2]).toBeGreaterThan(3.3e38);
  expect(back.slice(3)).toEqual([0, Infinity, NaN]);
  const ties = Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20);
  expect(Array.from(await toFloat32(await toBfloat16(ties), "BF16"))).toEqual([1, 1 + 2 ** -6, 1 + 2 ** -7]);
});

test("more than one part's worth is converted whole", async () => {
  const words = new Uint16Array((1 << 20) + 3).fill(0x3f80);
  const floats = await toFloat32(words, "BF16");
  expect(floats.length).toBe(words.length);
  expect(floats.every((value) => value === 1)).toBe(true);
});
