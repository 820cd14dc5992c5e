import { CounterRandom, permute } from "../lib/random";

describe("CounterRandom", () => {
  test("repeats for the same key and differs for any other", () => {
    const draws = (...key: number[]) => {
      const random = new CounterRandom(...key);
      return Array.from({ length: 8 }, () => random.uint32()).join();
    };
    expect(draws(1, 2, 3)).toBe(draws(1, 2, 3));
    const keys = [
      [1, 2, 3],
      [1, 2, 4],
      [1, 3, 3],
      [2, 2, 3],
      [3, 2, 1],
      [1, 2],
      [1, 2, 3, 0],
      [2 ** 32 + 1, 2, 3],
    ];
    expect(new Set(keys.map((key) => draws(...key))).size).toBe(keys.length);
  });

  test("is uniform enough over draws and over neighbouring keys", () => {
    const counts = new Array<number>(16).fill(0);
    for (let key = 0; key < 1000; key++) {
      const random = new CounterRandom(5, key);
      for (let i = 0; i < 16; i++) counts[random.below(16)]!++;
    }
    const chiSquared = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chiSquared).toBeLessThan(37.7); // 15 degrees of freedom, p = 0.001
  });
});

describe("permute", () => {
  test.each([1, 2, 3, 7, 64, 1000, 4097])("is a permutation of %d", (size) => {
    const image = new Set(Array.from({ length: size }, (_, i) => permute(i, size, 4, 2)));
    expect(image.size).toBe(size);
    for (const position of image) expect(position >= 0 && position < size).toBe(true);
  });

  test("differs by epoch and leaves few points where they were", () => {
    const order = (epoch: number) => Array.from({ length: 1000 }, (_, i) => permute(i, 1000, 7, epoch));
    const [first, second] = [order(0), order(1)];
    expect(first.filter((position, i) => position === i).length).toBeLessThan(10);
    expect(first.filter((position, i) => position === second[i]).length).toBeLessThan(10);
  });

  test("neighbours are not sent to neighbours", () => {
    let near = 0;
    for (let i = 1; i < 1000; i++)
      near += Math.abs(permute(i, 1000, 1) - permute(i - 1, 1000, 1)) < 10 ? 1 : 0;
    expect(near).toBeLessThan(50);
  });
});

test.each([[3n], [Symbol("a")], ["3"], [Number.NaN], [0.5], [undefined], [{}]])(
  "a key of %p is refused",
  (word) => {
    expect(() => new CounterRandom(1, word as never)).toThrow(
      expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" }),
    );
  },
);
