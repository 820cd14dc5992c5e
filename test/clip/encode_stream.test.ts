import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { EvaClip, type ImageInput, isEvaClipError } from "eva-clip";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, init: "fan_in" } as const;
const fixture = (name: string) => join(__dirname, "..", "fixtures", name);
const pixels = (value: number) => {
  const data = new Uint8Array(20 * 16 * 3).map((_, i) => (i * (value + 3)) % 251);
  return { data, width: 20, height: 16, channels: 3 as const };
};
const pictures = (count: number) => Array.from({ length: count }, (_, i) => pixels(i));
const words = (count: number) => Array.from({ length: count }, (_, i) => `word ${i}`);

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, options);
});
afterAll(() => model.dispose());

/** A source that counts what is taken from it and whether it was closed. */
class Source<T> implements AsyncIterable<T> {
  taken = 0;
  closed = 0;
  asked = 0;

  constructor(
    private readonly items: readonly T[],
    private readonly before: (index: number) => Promise<unknown> = async () => undefined,
  ) {}

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return {
      next: async () => {
        const index = this.asked++;
        await this.before(index);
        if (index >= this.items.length) return { value: undefined, done: true };
        this.taken++;
        return { value: this.items[index]!, done: false };
      },
      return: async () => {
        this.closed++;
        return { value: undefined, done: true };
      },
    };
  }
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of stream) all.push(each);
  return all;
}
const expectRows = (actual: readonly (Float32Array | undefined)[], expected: readonly Float32Array[]) => {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((row, i) => {
    row.forEach((value, e) => {
      expect(actual[i]![e]).toBeCloseTo(value, 5);
    });
  });
};

test("every input has its embedding, in the order of the source", async () => {
  const images = pictures(45);
  expectRows(await collect(model.encodeImages(images)), await model.encodeImage(images));
  const captions = words(45);
  const expected = await model.encodeText(captions);
  expectRows(await collect(model.encodeTexts(captions)), expected);
  expectRows(await collect(model.encodeTexts(new Source(captions), { batchSize: 4 })), expected);
  const raw = await model.encodeText("a", { normalize: false });
  expectRows(await collect(model.encodeTexts(["a"], { normalize: false })), [raw]);
});

test("an empty source, a generator and a list of promises are sources", async () => {
  expect(await collect(model.encodeTexts([]))).toEqual([]);
  async function* slowly() {
    for (const word of ["a", "b"]) {
      await delay(5);
      yield word;
    }
  }
  const expected = await model.encodeText(["a", "b"]);
  expectRows(await collect(model.encodeTexts(slowly())), expected);
  const promises = ["a", "b"].map(async (word) => word) as unknown as string[];
  expectRows(await collect(model.encodeTexts(promises)), expected);
});

test("nothing is taken before the first embedding is asked for, then never more than two batches ahead", async () => {
  const source = new Source(words(100));
  const stream = model.encodeTexts(source, { batchSize: 4 });
  await delay(20);
  expect(source.asked).toBe(0);
  let [had, most] = [0, 0];
  for await (const _ of stream) {
    had++;
    await delay(had < 20 ? 2 : 0);
    most = Math.max(most, source.taken - had);
  }
  expect([had, source.taken, source.closed]).toEqual([100, 100, 0]);
  expect(most).toBeGreaterThan(2);
  expect(most).toBeLessThanOrEqual(8);
});

test("a slow source delays no embedding of what it gave", async () => {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const source = new Source(words(2), async (index) => (index === 1 ? released : undefined));
  const stream = model.encodeTexts(source);
  expect((await stream.next()).done).toBe(false);
  release();
  expect((await collect(stream)).length).toBe(1);
});

test("images are decoded while others are computed", async () => {
  const begun: number[] = [];
  const images = Array.from({ length: 6 }, (_, i) =>
    Object.defineProperty(new Blob([]), "arrayBuffer", {
      value: async () => {
        begun.push(i);
        const { buffer } = await (await import("sharp")).default(fixture("image_gray.png")).png().toBuffer();
        return buffer;
      },
    }),
  );
  const stream = model.encodeImages(images as Blob[], { batchSize: 2, onError: () => undefined });
  await stream.next();
  expect(begun.length).toBeGreaterThanOrEqual(4);
  await stream.return();
});

describe("an input that cannot be used", () => {
  const bad: ImageInput[] = [
    pixels(0),
    fixture("missing.png"),
    pixels(1),
    Buffer.from("no image"),
    7 as never,
  ];

  test("ends the stream after the embeddings of those before", async () => {
    const stream = model.encodeImages(bad);
    expect((await stream.next()).done).toBe(false);
    await expect(stream.next()).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringContaining("missing.png"),
    });
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  });

  test("is told to onError, and undefined takes its place", async () => {
    const told: [number, string][] = [];
    const rows = await collect(
      model.encodeImages(bad, {
        onError: async (error, index) => {
          await delay(1);
          told.push([index, isEvaClipError(error) ? error.code : "?"]);
        },
      }),
    );
    expect(rows.map((row) => row !== undefined)).toEqual([true, false, true, false, false]);
    const data = "ERR_EVACLIP_DATA";
    expect(told).toEqual([
      [1, data],
      [3, data],
      [4, "ERR_EVACLIP_INVALID_ARGUMENT"],
    ]);
  });

  test("ends the stream with what onError throws", async () => {
    const source = new Source(["a", 5 as never, "b", "c"]);
    const enough = new Error("enough");
    const onError = (): never => {
      throw enough;
    };
    await expect(collect(model.encodeTexts(source, { onError, batchSize: 1 }))).rejects.toBe(enough);
    expect(source.closed).toBe(1);
  });
});

test("what the source throws comes after the embeddings of its inputs, and is not told to onError", async () => {
  const broken = new Error("the disk is gone");
  async function* source() {
    yield* words(3);
    throw broken;
  }
  const onError = jest.fn();
  const stream = model.encodeTexts(source(), { onError });
  for (let i = 0; i < 3; i++) expect((await stream.next()).value).toBeInstanceOf(Float32Array);
  await expect(stream.next()).rejects.toBe(broken);
  expect(onError).not.toHaveBeenCalled();
});

test("a consumer that leaves closes the source, and what waits is given up", async () => {
  const source = new Source(words(50));
  for await (const _ of model.encodeTexts(source, { batchSize: 4 })) break;
  expect(source.closed).toBe(1);
  expect(source.taken).toBeLessThanOrEqual(9);
  await delay(10);
  expect(source.taken).toBeLessThanOrEqual(9);
});

describe("an aborted stream", () => {
  const reason = new Error("given up");

  test("rejects with the reason and closes its source", async () => {
    const controller = new AbortController();
    const source = new Source(words(50));
    const stream = model.encodeTexts(source, { batchSize: 4, signal: controller.signal });
    await stream.next();
    controller.abort(reason);
    await expect(stream.next()).rejects.toBe(reason);
    expect([source.closed, (await stream.next()).done]).toEqual([1, true]);
    const unread = new Source(words(1));
    await expect(model.encodeTexts(unread, { signal: controller.signal }).next()).rejects.toBe(reason);
    expect(unread.asked).toBe(0);
  });

  test("does not wait for a source that hangs", async () => {
    const controller = new AbortController();
    const source = new Source(words(2), () => new Promise(() => undefined));
    const next = model.encodeTexts(source, { signal: controller.signal }).next();
    setTimeout(() => controller.abort(reason), 5);
    await expect(next).rejects.toBe(reason);
  });
});

test("a disposed model ends its streams, whether or not onError is given", async () => {
  const own = await EvaClip.create(tinyConfig, options);
  const stream = own.encodeTexts(new Source(words(50)), { batchSize: 2, onError: () => undefined });
  await stream.next();
  const disposing = own.dispose();
  await expect(collect(stream)).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
  await disposing;
});

test("what is no source is refused at the call", () => {
  for (const wrong of ["photo.jpg", new Uint8Array(3), undefined, 7, {}, () => []]) {
    expect(() => model.encodeImages(wrong as never)).toThrow("encodeImages: source must be an iterable");
  }
  expect(() => model.encodeTexts([], { onError: 3 } as never)).toThrow("encodeTexts: options.onError");
});
