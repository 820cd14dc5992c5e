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
  /** u8 [B, S, S, 3] RGB; omitted if `TrainConfig.images` computes the images from `tensors`. */
  readonly images?: Uint8Array;
  /** Further inputs by name, such as the features of a teacher, for `TrainConfig.images` and the objective. */
  readonly tensors?: Readonly<Record<string, HostTensor>>;
}

/** A batch, and the cursor from which the batch after it can be read. */
export interface BatchAt {
  readonly batch: TrainingBatch;
  readonly cursor: Json;
}

/** Batches that can be read from any cursor on, so that a resumed run sees what it would have seen without the stop. */
export interface BatchSource {
  /** @param cursor the cursor of a batch of this source; left out, the beginning */
  open(cursor?: Json): AsyncIterator<BatchAt>;
  /** Settings by name, to compare with those of the run whose checkpoint is resumed. */
  describe?(): Promise<RunSettings>;
}

/** Number of samples by which a data set is recognized. */
const FIRST_SAMPLES = 4;

/** A source of batches that are a pure function of the step, counted from 0. */
export function batchesByStep(make: (step: number) => TrainingBatch | Promise<TrainingBatch>): BatchSource {
  checkArgument("batchesByStep: make", make, anyFunction);
  return {
    open: (cursor = 0) => {
      if (!Number.isSafeInteger(cursor)) {
        const message = `the cursor of batchesByStep must be a step, found ${JSON.stringify(cursor).slice(0, 60)}`;
        throw new EvaClipError("ERR_EVACLIP_DATA", message);
      }
      let step = cursor as number;
      return {
        next: async () => {
          const batch = await make(step++);
          return { done: false, value: { batch, cursor: step } };
        },
      };
    },
  };
}

/**
 * The batches of a data set, decoded, augmented and tokenized by a loader.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for options that `createLoader` refuses
 */
export function batchesOf(dataset: Dataset, options: Omit<LoaderOptions, "cursor">): BatchSource {
  checkArgument("batchesOf: dataset", dataset, datasetArgument);
  checkArgument("batchesOf: options", options, z.looseObject({}, { error: "an object" }));
  createLoader(dataset, options); // checks the options; it reads nothing before its first batch
  return {
    open: (cursor) => {
      const loader = createLoader(dataset, { ...options, ...(cursor !== undefined && { cursor }) });
      checkPosition(dataset, loader.state(), options.shuffle);
      return {
        next: async () => {
          const { value: batch, done } = await loader.next();
          return done ? { done, value: undefined } : { value: { batch, cursor: loader.state() } };
        },
        return: async () => {
          await loader.dispose();
          return { done: true, value: undefined };
        },
      };
    },
    describe: async () => ({ ...contentOf(options), firstSamples: await firstSamples(dataset) }),
  };
}

/** Opens the data set at the cursor, which refuses a position of another data set; no sample is read. */
function checkPosition(dataset: Dataset, { seed, epoch, position }: LoaderCursor, shuffle = true): void {
  if (position !== null) dataset.open({ seed, epoch, shuffle, position });
}

/** The loader options that decide what a batch holds, without those that the cursor compares. */
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

/** A source of the batches of an iterable. It has no cursor, so a run on it cannot be resumed. */
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
      return withoutCursor(data);
    },
  };
}

function withoutCursor(data: AsyncIterable<TrainingBatch>): AsyncIterator<BatchAt> {
  const iterator = data[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value: batch, done } = await iterator.next();
      return done ? { done, value: undefined } : { value: { batch, cursor: null } };
    },
    return: async () => {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}
