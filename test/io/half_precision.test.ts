import { fromBfloat16, toBfloat16, toFloat16 } from "../../lib/io/half_precision";

/** The value of a half-precision pattern, by its definition. */
function valueOfHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
}

test("every half-precision value keeps its pattern", async () => {
  const patterns = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits).filter(
    (bits) => !Number.isNaN(valueOfHalf(bits)),
  );
  expect(await toFloat16(Float32Array.from(patterns, valueOfHalf))).toEqual(patterns);
});

test("between two halves the nearer is taken, and the even one in the middle", async () => {
  const places = [0, 1, 2, 0x3ff, 0x400, 0x401, 0x3c00, 0x3c01, 0x7bfe, 0x83ff, 0xbc01];
  for (const bits of places) {
    const [low, high] = [valueOfHalf(bits), valueOfHalf(bits + 1)];
    const between = [0.25, 0.5, 0.75].map((share) => low + share * (high - low));
    const middle = bits % 2 === 0 ? bits : bits + 1;
    expect(Array.from(await toFloat16(Float32Array.from(between)))).toEqual([bits, middle, bits + 1]);
  }
});

test("halves beyond the largest are infinite, below the least zero, and not-a-number stays one", async () => {
  const values = [65519, 65520, 1e30, Number.NEGATIVE_INFINITY, 2 ** -25, -(2 ** -26), Number.NaN];
  const halves = Array.from(await toFloat16(Float32Array.from(values)));
  expect(halves.slice(0, 6)).toEqual([0x7bff, 0x7c00, 0x7c00, 0xfc00, 0, 0x8000]);
  expect(valueOfHalf(halves[6]!)).toBeNaN();
});

test("bfloat16 keeps its own patterns, rounds to the nearest even, and keeps not-a-number", async () => {
  const patterns = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits).filter(
    (bits) => (bits & 0x7fff) <= 0x7f80,
  );
  expect(await toBfloat16(await fromBfloat16(patterns))).toEqual(patterns);
  const values = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 3.4e38, Number.NaN];
  const words = Array.from(await toBfloat16(Float32Array.from(values)));
  expect(words.slice(0, 4)).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f80]);
  expect((await fromBfloat16(Uint16Array.of(words[4]!)))[0]).toBeNaN();
});
