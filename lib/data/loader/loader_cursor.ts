import { describeValue, reading } from "../../arguments";
import { EvaClipError } from "../../errors";
import type { Json } from "../dataset";
import type { SkipReason } from "../../sample_error";

export type SkipCounts = Readonly<Partial<Record<SkipReason, number>>>;

/** Where a loader is, as plain JSON. */
export type LoaderCursor = {
  readonly version: 1;
  readonly seed: number;
  readonly epoch: number;
  /** The data set's own position in the epoch; null at its start. */
  readonly position: Json;
  /** Samples taken from the data set so far, those skipped included. */
  readonly samplesRead: number;
  readonly skips: SkipCounts;
  /** Size of the data set, to notice a different one. */
  readonly datasetSize: number | null;
};

/** What a cursor's fields say about its run, and what to do where they differ. */
const CHANGES: Readonly<Record<string, string>> = {
  version: "it was written by another version of eva-clip: start a new run from the checkpoint's weights",
  seed: "the seed chooses the order of the samples: go on with the run's own seed, or start a new run",
  datasetSize:
    "samples were added or removed since: go on with the data of that run, or start a new run from its weights",
  shards:
    "shards were added or removed since: go on with the shards of that run, or start a new run from its weights",
  shuffleBuffer: "it chooses the order of the samples: go on with the run's own, or start a new run",
};

/** ERR_EVACLIP_DATA for a cursor whose `name` is not the one of this run. */
export function anotherRunError(name: string, expected: unknown, found: unknown): EvaClipError {
  const problem = `the cursor belongs to another run: expected ${name} ${expected}, found ${describeValue(found)}`;
  return new EvaClipError("ERR_EVACLIP_DATA", `${problem}; ${CHANGES[name]}`, { name, expected, found });
}

/** The cursor to start from: a new one, or a copy of `state` once it is sure to belong to this seed and data set. */
export function startCursor(
  state: Json | undefined,
  seed: number,
  datasetSize: number | undefined,
): LoaderCursor {
  const size = datasetSize ?? null;
  const given = reading(
    "createLoader: options.cursor",
    () => structuredClone(state) as LoaderCursor | undefined,
  );
  if (given === undefined) {
    return { version: 1, seed, epoch: 0, position: null, samplesRead: 0, skips: {}, datasetSize: size };
  }
  const expected: Partial<LoaderCursor> = { version: 1, seed, datasetSize: size };
  for (const [name, value] of Object.entries(expected)) {
    const found = (given as LoaderCursor | null)?.[name as keyof LoaderCursor];
    if (found !== value) throw anotherRunError(name, value, found);
  }
  for (const name of ["epoch", "samplesRead"] as const) {
    if (Number.isSafeInteger(given[name]) && given[name] >= 0) continue;
    const message = `the cursor is damaged: expected ${name} to be an integer of at least 0, found ${describeValue(given[name])}`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { name, found: given[name] });
  }
  return given;
}
