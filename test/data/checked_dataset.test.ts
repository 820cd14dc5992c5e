import { runInNewContext } from "node:vm";
import type { Batch } from "../../lib/data/loader/batch";
import type { Dataset, IndexedSource, Json } from "../../lib/data/dataset";
import { indexedDataset } from "../../lib/data/sources/indexed_dataset";
import { createLoader } from "../../lib/data/loader/loader";
import type { LoaderOptions } from "../../lib/data/loader/loader_options";
import { SampleError } from "../../lib/sample_error";
import { collect, numberedDataset } from "./sample_files";

const image = { data: new Uint8Array(192), width: 8, height: 8, channels: 3 as const };
const options = (more: object = {}) =>
  ({ batchSize: 1, imageSize: 8, epochs: 1, shuffle: false, ...more }) as LoaderOptions;
const sample = (more: object = {}) => ({
  ...{ key: "k", epoch: 0, index: 0, next: 1 },
  read: async () => ({ image, captions: ["a"] }),
  ...more,
});
const reading = (content: unknown) => sample({ read: async () => content });
/** A data set with invalid results. */
const giving = (...samples: unknown[]): Dataset =>
  ({
    async *open() {
      yield* samples;
    },
  }) as unknown as Dataset;

const load = (dataset: unknown, more: object = {}): Promise<Batch[]> =>
  collect(createLoader(dataset as Dataset, options(more)));

const throwing = (what: string) =>
  Object.defineProperty(sample(), what, {
    get: () => {
      throw new Error("mine");
    },
  });

describe("errors name the wrong result of a data set", () => {
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["no sample", () => load(giving(undefined)), /data set's sample must be .*found undefined/],
    ["a string", () => load(giving("k")), /data set's sample must be .*found "k"/],
    ["no key", () => load(giving(sample({ key: undefined }))), /sample\.key must be a string/],
    ["no read", () => load(giving(sample({ read: undefined }))), /sample "k"\.read must be a function/],
    ["no epoch", () => load(giving(sample({ epoch: Number.NaN }))), /sample "k"\.epoch must be/],
    ["an index", () => load(giving(sample({ index: 1n }))), /sample "k"\.index must be/],
    ["no cursor", () => load(giving(sample({ next: undefined }))), /sample "k"\.next must be plain JSON/],
    ["a cursor of NaN", () => load(giving(sample({ next: Number.NaN }))), /sample "k"\.next must be plain/],
    ["a cursor with a function", () => load(giving(sample({ next: { f() {} } }))), /"k" cannot be read/],
    ["a label", () => load(giving(sample({ label: "red" }))), /sample "k"\.label must be a number/],
    ["a key that throws", () => load(giving(throwing("key"))), /sample of the data set cannot be read: mine/],
    ["a field that throws", () => load(giving(throwing("index"))), /sample "k" cannot be read: mine/],
    ["nothing read", () => load(giving(reading(undefined))), /read\(\) .*"k" must be an object/],
    ["no captions", () => load(giving(reading({ image }))), /"k"\.captions must be a list of strings/],
    ["a caption", () => load(giving(reading({ image, captions: [null] }))), /captions\[0\] must be a string/],
    ["one caption", () => load(giving(reading({ image, captions: "a" }))), /captions must be a list of/],
    ["no iterable", () => load({ open: () => [] }), /open\(\) must return an async iterable, found an array/],
    [
      "a promise",
      () => load({ open: async () => giving().open({} as never) }),
      /must return an async iterable/,
    ],
    [
      "no iterator",
      () => load({ open: () => ({ [Symbol.asyncIterator]: () => undefined }) }),
      /must return an async iterable/,
    ],
    [
      "no step",
      () => load({ open: () => ({ [Symbol.asyncIterator]: () => ({ next: () => 5 }) }) }),
      /must return \{ value, done \}, found 5/,
    ],
    ["a size", async () => load({ ...giving(), size: Number.NaN }), /dataset\.size must be an integer/],
    [
      "class names",
      async () => load({ ...giving(), classes: [1] }),
      /dataset\.classes\[0\] must be a string/,
    ],
    [
      "pixels of another type",
      () => load(giving(sample()), { transform: async () => new Float32Array(192) }),
      /transform of k must return a Uint8Array of 192, found Float32Array of 192/,
    ],
    ["no pixels", () => load(giving(sample()), { transform: () => undefined }), /transform of k must return/],
    [
      "tokens that are not there yet",
      () => load(giving(sample()), { tokenizer: { encode: async () => [1, 2] } }),
      /tokenizer must return 1 to 77 token ids for the caption of k, found an object of class Promise/,
    ],
    [
      "too many tokens",
      () => load(giving(sample()), { tokenizer: { encode: () => [1, 2, 3] }, contextLength: 2 }),
      /1 to 2 token ids for the caption of k, found an array of 3/,
    ],
    [
      "no sample at a place",
      () => load(indexedDataset({ size: 1, at: () => undefined as never })),
      /data set's at\(0\) must be a sample, found undefined/,
    ],
    [
      "a promise of a sample",
      () => load(indexedDataset({ size: 1, at: (async () => sample()) as never })),
      /data set's at\(0\) must be an object, found an object of class Promise/,
    ],
  ])("%s", async (_, run, message) => {
    await expect(run()).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
      message: expect.stringMatching(message),
    });
  });
});

test("samples may be of a class, of another realm, and without captions where images are read alone", async () => {
  class Own {
    readonly key = "own";
    #image = image;
    async read() {
      return { image: this.#image, captions: ["a"] };
    }
  }
  const source: IndexedSource = { size: 1, at: () => new Own() };
  expect(await load(indexedDataset(source))).toHaveLength(1);
  const foreign = runInNewContext("({ key: 'k', epoch: 0, index: 0, next: [1] })");
  expect(await load(giving(Object.assign(foreign, { read: sample().read })))).toHaveLength(1);
  const [batch] = await load(giving(reading({ image })), { text: false });
  expect(batch!.samples[0]!.captions).toEqual([]);
});

test("what a data set or a caller changes later changes no cursor", async () => {
  const next = { at: 0 };
  const dataset = {
    async *open() {
      for (let index = 0; index < 3; index++) {
        next.at = index;
        yield sample({ index, next });
      }
    },
  } as unknown as Dataset;
  const loader = createLoader(dataset, options());
  await loader.next();
  const state = loader.state();
  expect(state.position).toEqual({ at: 0 });
  const resumed = createLoader(dataset, options({ cursor: state }));
  Object.assign(state, { epoch: 9, position: 5 });
  expect(loader.state()).toMatchObject({ epoch: 0, position: { at: 0 } as Json });
  expect(resumed.state().epoch).toBe(0);
  await loader.dispose();
});

test("options are those of the call", async () => {
  const given = { ...options(), cropScale: [1, 1] as [number, number], transform: "train" as const };
  const loader = createLoader(numberedDataset(2), given);
  Object.assign(given, { batchSize: 7, dropLast: "no" });
  given.cropScale[0] = Number.NaN;
  expect(await collect(loader)).toHaveLength(2);
});

test.each(["throws", "rejects"])("an onSkip that %s ends the loader, and nothing is unheard", async (how) => {
  const skipped = sample({ read: () => Promise.reject(new SampleError("missing_file", "gone")) });
  const onSkip = () => {
    if (how === "throws") throw new RangeError("mine");
    return Promise.reject(new RangeError("mine"));
  };
  const unheard = jest.fn();
  process.on("unhandledRejection", unheard);
  await expect(load(giving(skipped), { onSkip })).rejects.toThrow(new RangeError("mine"));
  await new Promise((done) => setTimeout(done, 5));
  process.off("unhandledRejection", unheard);
  expect(unheard).not.toHaveBeenCalled();
});

test("reasons are counted, whatever they are called", async () => {
  const read = () => Promise.reject(new SampleError("constructor" as never, "gone"));
  const dataset = indexedDataset({ size: 2, at: (i) => ({ ...(i === 0 ? sample({ read }) : sample()) }) });
  const loader = createLoader(dataset, options());
  await collect(loader);
  expect(loader.skips).toEqual({ constructor: 1 });
});
