import { permute } from "../../lib/random";
import { shuffleWindows } from "../../lib/data/sources/webdataset/shuffle_window";
import { collect } from "./sample_files";

async function* numbers(from: number, to: number): AsyncGenerator<number> {
  for (let i = from; i < to; i++) yield i;
}

const order = (n: number, length: number, first: number) => permute(n, length, first);

describe("shuffleWindows", () => {
  test.each([
    [100, 16],
    [96, 16],
    [5, 16],
    [16, 16],
    [10, 1],
    [0, 4],
  ])("gives each of %d items once, in windows of %d", async (count, size) => {
    const items = (await collect(shuffleWindows(numbers(0, count), size, order))).map(({ item }) => item);
    for (let start = 0; start < count; start += size) {
      const window = items.slice(start, start + size).sort((a, b) => a - b);
      expect(window).toEqual(Array.from({ length: Math.min(size, count - start) }, (_, i) => start + i));
    }
    expect(items).toHaveLength(count);
  });

  test("a stream from a window's first item repeats the rest", async () => {
    const whole = await collect(shuffleWindows(numbers(0, 50), 8, order));
    const { first, emitted, item } = whole[19]!;
    const again = await collect(shuffleWindows(numbers(first, 50), 8, order));
    expect(again[emitted - 1]!.item).toBe(item);
    expect(again.slice(emitted)).toEqual(whole.slice(20));
  });

  test("holds one window of items at most", async () => {
    let read = 0;
    async function* counted() {
      for await (const item of numbers(0, 1000)) {
        read++;
        yield item;
      }
    }
    let out = 0;
    for await (const _ of shuffleWindows(counted(), 32, order)) {
      expect(read - out++).toBeLessThanOrEqual(32);
      if (out === 200) break;
    }
  });
});
