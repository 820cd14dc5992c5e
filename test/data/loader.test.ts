import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Batch } from "../../lib/data/loader/batch";
import type { Dataset } from "../../lib/data/dataset";
import { createLoader } from "../../lib/data/loader/loader";
import type { LoaderOptions } from "../../lib/data/loader/loader_options";
import { clipTokenizer } from "../../lib/text/tokenizer";
import { openWebDataset } from "../../lib/data/sources/webdataset/webdataset";
import { eventLoopHeldMs } from "../support/event_loop";
import { collect, numberedDataset, png, tar, temporaryFolder, writeFiles } from "./sample_files";

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);
const options = (more: Partial<LoaderOptions> = {}): LoaderOptions => ({
  batchSize: 4,
  imageSize: 8,
  ...more,
});
const keysOf = (batches: readonly Batch[]) => batches.map(({ samples }) => samples.map(({ key }) => key));

/** Three shards of seven numbered images each. */
async function writeShards(): Promise<string> {
  for (let shard = 0; shard < 3; shard++) {
    const members: [string, string | Buffer][] = [];
    for (let i = 0; i < 7; i++) {
      members.push([`${i}.png`, await png(10 * shard + i, 12)], [`${i}.txt`, `number ${10 * shard + i}`]);
    }
    await writeFiles(folder.path, { [`shards/${shard}.tar`]: await tar(members) });
  }
  return at("shards");
}

describe("Loader", () => {
  test("gives images and packed captions of the same samples", async () => {
    const loader = createLoader(
      numberedDataset(10),
      options({ transform: "evaluation", textBucket: 16, epochs: 1 }),
    );
    const batches = await collect(loader);
    expect(batches).toHaveLength(2);
    for (const { size, images, tokens, cuSeqlens, textEnds, samples } of batches) {
      expect(size).toBe(4);
      expect(images).toHaveLength(4 * 8 * 8 * 3);
      expect(tokens.length % 16).toBe(0);
      samples.forEach(({ key }, b) => {
        const number = Number(key.split(" ")[1]);
        expect(images[b * 192]).toBe(number);
        const ids = tokens.subarray(cuSeqlens[b], cuSeqlens[b + 1]);
        expect(Array.from(ids)).toEqual(clipTokenizer().encode(`number ${number}`));
        expect(textEnds[b]).toBe(cuSeqlens[b + 1]! - 1);
      });
    }
  });

  test("reads every sample once an epoch, in another order each", async () => {
    const batches = await collect(createLoader(numberedDataset(12), options({ epochs: 2 })));
    const keys = keysOf(batches).flat();
    expect(new Set(keys.slice(0, 12)).size).toBe(12);
    expect(new Set(keys.slice(12)).size).toBe(12);
    expect(keys.slice(0, 12)).not.toEqual(keys.slice(12));
  });

  test("evaluation keeps the order and the last, smaller batch", async () => {
    const more = { shuffle: false, dropLast: false, epochs: 1, transform: "evaluation" } as const;
    const batches = await collect(createLoader(numberedDataset(10), options(more)));
    expect(batches.map(({ size }) => size)).toEqual([4, 4, 2]);
    expect(batches[2]!.images).toHaveLength(2 * 192);
    expect(keysOf(batches).flat()).toEqual(Array.from({ length: 10 }, (_, i) => `sample ${i}`));
  });

  test("without text, batches have images alone", async () => {
    const [batch] = await collect(createLoader(numberedDataset(4), options({ text: false })), 1);
    expect(batch!.tokens).toHaveLength(0);
    expect(batch!.cuSeqlens).toEqual(new Int32Array(5));
  });

  test("takes one's own transform and tokenizer", async () => {
    const loader = createLoader(
      numberedDataset(4),
      options({
        transform: async (_, size, random) => new Uint8Array(size * size * 3).fill(random.below(256)),
        tokenizer: { vocabularySize: 9, encode: () => [1, 8] },
        textBucket: 1,
      }),
    );
    const [batch] = await collect(loader, 1);
    expect(Array.from(batch!.tokens)).toEqual([1, 8, 1, 8, 1, 8, 1, 8]);
    const bad = createLoader(numberedDataset(4), options({ transform: async () => new Uint8Array(5) }));
    await expect(bad.next()).rejects.toThrow(/must return a Uint8Array of 192, found Uint8Array of 5/);
  });

  test("gives the same bits whatever the concurrency, prefetch and timing", async () => {
    const dataset = await openWebDataset(await writeShards(), { shuffleBuffer: 6 });
    const run = async (more: Partial<LoaderOptions>, pause = 0) => {
      const batches: Batch[] = [];
      for await (const batch of createLoader(dataset, options({ seed: 9, epochs: 2, ...more }))) {
        batches.push(batch);
        await delay(pause);
      }
      return batches;
    };
    const expected = await run({ concurrency: 1, prefetch: 0 });
    expect(expected).toHaveLength(10);
    expect(await run({ concurrency: 7, prefetch: 3 })).toEqual(expected);
    expect(await run({ concurrency: 3, prefetch: 1 }, 3)).toEqual(expected);
  });

  test.each(["numbered", "webdataset"])("resumes bit for bit after any batch: %s", async (kind) => {
    const dataset: Dataset =
      kind === "numbered"
        ? numberedDataset(22, 20)
        : await openWebDataset(await writeShards(), { shuffleBuffer: 5 });
    const more = options({ seed: 2, epochs: 3, batchSize: 5 });
    const whole: Batch[] = [];
    const cursors: string[] = [];
    const loader = createLoader(dataset, more);
    for await (const batch of loader) {
      whole.push(batch);
      cursors.push(JSON.stringify(loader.state()));
    }
    expect(whole).toHaveLength(12);
    for (let done = 1; done <= whole.length; done++) {
      const resumed = createLoader(dataset, { ...more, cursor: JSON.parse(cursors[done - 1]!) });
      expect(await collect(resumed)).toEqual(whole.slice(done));
    }
  });

  test("refuses the cursor of another seed or data set", async () => {
    const loader = createLoader(numberedDataset(10), options({ seed: 1 }));
    await loader.next();
    const cursor = loader.state();
    await loader.dispose();
    expect(() => createLoader(numberedDataset(10), options({ seed: 2, cursor }))).toThrow(
      /expected seed 2, found 1/,
    );
    expect(() => createLoader(numberedDataset(11), options({ seed: 1, cursor }))).toThrow(
      /datasetSize 11, found 10/,
    );
  });

  test.each([
    [null, /expected version 1, found undefined; it was written by another version/],
    [5, /expected version 1, found undefined/],
    [{ version: 1, seed: 0, datasetSize: 10, epoch: -1 }, /expected epoch to be an integer of at least 0/],
  ])("refuses the damaged cursor %j", (cursor, message) => {
    expect(() => createLoader(numberedDataset(10), options({ cursor: cursor as never }))).toThrow(message);
  });

  test.each<[Partial<LoaderOptions>, RegExp]>([
    [{ batchSize: 0 }, /batchSize must be at least 1, found 0/],
    [{ imageSize: 1.5 }, /imageSize/],
    [{ concurrency: -1 }, /concurrency/],
    [{ epochs: 0 }, /epochs/],
    [{ prefetch: -1 }, /prefetch/],
    [{ seed: 0.5 }, /seed/],
    [{ maxSkips: -1 }, /maxSkips/],
    [{ cropScale: [0.9, 0.1] }, /cropScale must be a pair/],
    [{ batchsize: 3 } as never, /has no field "batchsize"; did you mean batchSize\?/],
  ])("refuses %j", (more, message) => {
    expect(() => createLoader(numberedDataset(4), options(more))).toThrow(message);
  });
});

describe("life cycle", () => {
  function watched(dataset: Dataset) {
    const seen = { closed: 0, reads: 0 };
    const open: Dataset["open"] = async function* (request) {
      try {
        for await (const sample of dataset.open(request)) {
          seen.reads++;
          yield sample;
        }
      } finally {
        seen.closed++;
      }
    };
    return { seen, dataset: { ...dataset, open } };
  }

  test("nothing is read before the first batch is asked for", async () => {
    const { seen, dataset } = watched(numberedDataset(1000));
    createLoader(dataset, options());
    await delay(5);
    expect(seen.reads).toBe(0);
  });

  test("prefetch is bounded", async () => {
    const { seen, dataset } = watched(numberedDataset(1000));
    const loader = createLoader(dataset, options({ concurrency: 3, prefetch: 2 }));
    await loader.next();
    await delay(50);
    expect(seen.reads).toBeLessThanOrEqual(4 * 4 + 3 + 1);
    await loader.dispose();
  });

  test("absurd concurrency does not decode more than the batches being made ready", async () => {
    const { seen, dataset } = watched(numberedDataset(1000));
    const loader = createLoader(dataset, options({ concurrency: 100_000, prefetch: 1 }));
    await loader.next();
    expect(seen.reads).toBeLessThanOrEqual(2 * 4 + Math.max(2 * availableParallelism(), 2 * 4) + 1);
    await loader.dispose();
  });

  test("leaving the loop closes the data set and ends the loader", async () => {
    const { seen, dataset } = watched(numberedDataset(1000));
    const loader = createLoader(dataset, options());
    await collect(loader, 2);
    expect(seen.closed).toBe(1);
    const { reads } = seen;
    await delay(20);
    expect(seen.reads).toBe(reads);
    expect(await loader.next()).toEqual({ value: undefined, done: true });
    await loader.dispose();
  });

  test("a signal stops a wait at once, with its reason", async () => {
    const slow: Dataset = {
      async *open(request) {
        await delay(300);
        yield* numberedDataset(8).open(request);
      },
    };
    const controller = new AbortController();
    const loader = createLoader(slow, options({ signal: controller.signal }));
    setTimeout(() => controller.abort(new Error("enough")), 10);
    const start = performance.now();
    await expect(loader.next()).rejects.toThrow("enough");
    expect(performance.now() - start).toBeLessThan(200);
    await expect(loader.next()).rejects.toThrow("enough");
  });

  test("a signal between batches closes the data set", async () => {
    const { seen, dataset } = watched(numberedDataset(1000));
    const controller = new AbortController();
    const loader = createLoader(dataset, options({ signal: controller.signal }));
    await loader.next();
    controller.abort();
    await expect(loader.next()).rejects.toMatchObject({ name: "AbortError" });
    await loader.dispose();
    expect(seen.closed).toBe(1);
  });

  test("waiting is measured, and loading overlaps the consumer's work", async () => {
    const slow = numberedDataset(16);
    const transform = async (_: unknown, size: number) => {
      await delay(100);
      return new Uint8Array(size * size * 3);
    };
    const loader = createLoader(slow, options({ transform, concurrency: 4, epochs: 1 }));
    await loader.next();
    expect(loader.waitMs).toBeGreaterThan(95);
    const before = loader.waitMs;
    for (;;) {
      await delay(200);
      if ((await loader.next()).done === true) break;
    }
    expect(loader.waitMs - before).toBeLessThan(200);
  });

  test("the event loop is never held for 20 ms", async () => {
    const shards = await writeShards();
    const held = await eventLoopHeldMs(20, async () => {
      const loader = createLoader(
        await openWebDataset(shards),
        options({ batchSize: 16, imageSize: 224, epochs: 12, maxSkips: 0 }),
      );
      expect(await collect(loader)).toHaveLength(12);
    });
    expect(held).toBeLessThan(20);
  });
});
