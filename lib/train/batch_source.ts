import { z } from "zod";
import { anyFunction, checkArgument } from "../arguments";
import type { PackedText } from "../text/pack_text";
import { datasetArgument } from "../data/checked_dataset";
import type { Dataset, Json } from "../data/dataset";
import { createLoader } from "../data/loader/loader";
import type { LoaderCursor } from "../data/loader/loader_cursor";
import type { LoaderOptions } from "../data/loader/loader_options";
import { EvaClipError } from "../errors";
import type { HostTensor } from "../host_tensor";
import type { RunSettings } from "../weights/checkpoint/trainer_state";

/** One step's input: B images and B captions. */
export interface TrainingBatch extends PackedText {
  /** B */
  readonly size: number;
  /** u8 [B, S, S, 3] RGB, or the named tensors that `TrainConfig.images` makes such images from. */
  readonly images: Uint8Array | Readonly<Record<string, HostTensor>>;
}

/** Batches, and where they are: `state()` is the cursor just after the last batch given. */
export interface BatchStream extends AsyncIterator<TrainingBatch> {
  state(): Json;
}

/** Batches that can be started at any cursor, so that a resumed run sees exactly what it would have seen. */
export interface BatchSource {
  /** @param cursor What `state()` of a stream of this source gave; left out, the beginning. */
  open(cursor?: Json): BatchStream;
  /** What to compare with the run that a checkpoint is of, by name. */
  describe?(): Promise<RunSettings>;
}

/** Samples by which a data set is recognized. */
const FIRST_SAMPLES = 4;

/** A source for batches that are a pure function of the step, counted from 0. */
export function batchesByStep(make: (step: number) => TrainingBatch | Promise<TrainingBatch>): BatchSource {
  checkArgument("batchesByStep: make", make, anyFunction);
  return {
    open: (cursor = 0) => {
      if (!Number.isSafeInteger(cursor)) {
        const message = `the cursor is not one of batchesByStep: expected a step, found ${JSON.stringify(cursor).slice(0, 60)}`;
        throw new EvaClipError("ERR_EVACLIP_DATA", message);
      }
      let step = cursor as number;
      return {
        next: async () => ({ done: false, value: await make(step++) }),
        state: () => step,
      };
    },
  };
}

/**
 * The batches of a data set, decoded, augmented and tokenised by a loader.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for options that `createLoader` refuses
 */
export function batchesOf(dataset: Dataset, options: Omit<LoaderOptions, "cursor">): BatchSource {
  checkArgument("batchesOf: dataset", dataset, datasetArgument);
  checkArgument("batchesOf: options", options, z.looseObject({}, { error: "an object" }));
  createLoader(dataset, options); // refuses what cannot be; it reads nothing before its first batch
  return {
    open: (cursor) => {
      const from = cursor === undefined ? {} : { cursor: cursor as unknown as LoaderCursor };
      const loader = createLoader(dataset, { ...options, ...from });
      checkPosition(dataset, loader.state(), options.shuffle);
      return {
        next: () => loader.next(),
        return: () => loader.return(),
        state: () => loader.state() as unknown as Json,
      };
    },
    describe: async () => ({ ...contentOf(options), firstSamples: await firstSamples(dataset) }),
  };
}

/** Data sets refuse a position that is not theirs as they are opened there; samples are read only later. */
function checkPosition(dataset: Dataset, { seed, epoch, position }: LoaderCursor, shuffle = true): void {
  if (position !== null) dataset.open({ seed, epoch, shuffle, position });
}

/** Options of a loader that say what a batch holds, but for those that its cursor compares. */
const CONTENT_OPTIONS = [
  "batchSize",
  "contextLength",
  "textBucket",
  "shuffle",
  "dropLast",
  "transform",
  "preprocessing",
  "cropScale",
] as const satisfies (keyof LoaderOptions)[];

function contentOf(options: LoaderOptions): RunSettings {
  return Object.fromEntries(
    CONTENT_OPTIONS.map((name) => {
      const value = options[name] ?? null;
      return [name, typeof value === "function" ? "a function" : (value as Json)];
    }),
  );
}

/** The names of a data set's first samples without their folders, which may have moved. */
async function firstSamples(dataset: Dataset): Promise<string[]> {
  const names: string[] = [];
  for await (const { key } of dataset.open({ seed: 0, epoch: 0, shuffle: false })) {
    names.push(key.split("/").slice(-2).join("/"));
    if (names.length === FIRST_SAMPLES) break;
  }
  return names;
}

/** Takes a plain iterable for a source; it has no cursor, so a run on it cannot be resumed. */
export function sourceOf(data: BatchSource | AsyncIterable<TrainingBatch>): BatchSource {
  if ("open" in data) return data;
  return {
    open: (cursor) => {
      if (cursor !== undefined && cursor !== null) {
        throw new EvaClipError(
          "ERR_EVACLIP_INVALID_ARGUMENT",
          "a run can only be resumed when its data have a cursor: give train() a BatchSource, not an iterable",
        );
      }
      return Object.assign(iteratorOf(data), { state: () => null });
    },
  };
}

/** The iterator with its methods as its own, so that a state can be put beside them. */
function iteratorOf(data: AsyncIterable<TrainingBatch>): AsyncIterator<TrainingBatch> {
  const iterator = data[Symbol.asyncIterator]();
  return {
    next: () => iterator.next(),
    return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
  };
}
