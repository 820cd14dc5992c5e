import { enlarge } from "../../lib/image/enlarge";

describe("enlarge", () => {
  test("keeps a flat image flat, edges included", async () => {
    const flat = new Uint8Array(3 * 4 * 2).fill(137);
    const axis = (from: number, to: number) => ({ from, to, offset: 0, count: to });
    expect(Array.from(await enlarge(flat, 2, axis(4, 9), axis(3, 11)))).toEqual(
      new Array(9 * 11 * 2).fill(137),
    );
  });

  test("keeps the size it is given", async () => {
    const pixels = Uint8Array.from({ length: 5 * 7 }, (_, i) => (i * 37) % 256);
    const same = (from: number) => ({ from, to: from, offset: 0, count: from });
    expect(await enlarge(pixels, 1, same(7), same(5))).toEqual(pixels);
  });

  test("is symmetric, and a window of it is that part of the whole", async () => {
    const row = Uint8Array.of(10, 200, 30, 90);
    const one = { from: 1, to: 1, offset: 0, count: 1 };
    const whole = await enlarge(row, 1, { from: 4, to: 10, offset: 0, count: 10 }, one);
    const mirrored = await enlarge(
      Uint8Array.from(row).reverse(),
      1,
      { from: 4, to: 10, offset: 0, count: 10 },
      one,
    );
    expect(mirrored.reverse()).toEqual(whole);
    expect(await enlarge(row, 1, { from: 4, to: 10, offset: 3, count: 5 }, one)).toEqual(whole.slice(3, 8));
  });

  test("doubles by the cubic weights of a quarter pixel", async () => {
    const weights = [-0.0703125, 0.8671875, 0.2265625, -0.0234375]; // a = -0.5 at distances 1.25, 0.25, 0.75, 1.75
    const row = Uint8Array.of(20, 100, 180, 60);
    const one = { from: 1, to: 1, offset: 0, count: 1 };
    const doubled = await enlarge(row, 1, { from: 4, to: 8, offset: 0, count: 8 }, one);
    expect(doubled[3]).toBe(Math.round(row.reduce((sum, value, i) => sum + value * weights[i]!, 0)));
  });
});
