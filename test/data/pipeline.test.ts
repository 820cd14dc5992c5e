import { setTimeout as delay } from "node:timers/promises";
import { mapInOrder, runAhead } from "../../lib/data/loader/pipeline";
import { collect } from "./sample_files";

async function* numbers(count: number, seen?: { closed: boolean }): AsyncGenerator<number> {
  try {
    for (let i = 0; i < count; i++) yield i;
  } finally {
    if (seen !== undefined) seen.closed = true;
  }
}

describe("mapInOrder", () => {
  test("keeps the order of the source whatever finishes first, within its concurrency", async () => {
    let [running, most] = [0, 0];
    const results = await collect(
      mapInOrder(numbers(30), 4, async (i) => {
        most = Math.max(most, ++running);
        await delay((i * 7) % 5);
        running--;
        return i * i;
      }),
    );
    expect(results).toEqual(Array.from({ length: 30 }, (_, i) => i * i));
    expect(most).toBe(4);
  });

  test("throws a failure in its turn, and closes the source", async () => {
    const seen = { closed: false };
    const results: number[] = [];
    const mapped = mapInOrder(numbers(100, seen), 5, async (i) => {
      if (i === 3) throw new Error("three");
      return i;
    });
    await expect(
      (async () => {
        for await (const result of mapped) results.push(result);
      })(),
    ).rejects.toThrow("three");
    expect(results).toEqual([0, 1, 2]);
    expect(seen.closed).toBe(true);
  });

  test("lets the event loop turn during long synchronous work", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await collect(
      mapInOrder(numbers(60), 4, async () => {
        const end = performance.now() + 2;
        while (performance.now() < end);
      }),
    );
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
  });
});

describe("runAhead", () => {
  test("makes results before they are asked for, up to its depth", async () => {
    let made = 0;
    async function* source() {
      for (let i = 0; i < 10; i++) {
        made++;
        yield i;
      }
    }
    const ahead = runAhead(source(), 3);
    expect(made).toBe(0);
    await ahead.next();
    await delay(5);
    expect(made).toBe(4);
    expect(await collect(ahead)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("closes the source when it is left", async () => {
    const seen = { closed: false };
    await collect(runAhead(numbers(100, seen), 2), 5);
    expect(seen.closed).toBe(true);
  });
});
