import { describeValue, reading } from "../../arguments";
import { EvaClipError } from "../../errors";
import type { Json } from "../dataset";
import type { SkipReason } from "../../sample_error";

export type SkipCounts = Readonly<Partial<Record<SkipReason, number>>>;

/** The position of a loader, as plain JSON. */
export type LoaderCursor = {
  readonly version: 1;
  readonly seed: number;
  readonly epoch: number;
  /** The data set's own position in the epoch; null at its start. */
  readonly position: Json;
  /** Samples taken from the data set so far, including skipped ones. */
  readonly samplesRead: number;
  readonly skips: SkipCounts;
  /** Size of the data set, to detect a different one. */
  readonly datasetSize: number | null;
};

/** The advice for each field of a cursor that differs from the run. */
const CHANGES: Readonly<Record<string, string>> = {
  version: "it was written by another version of eva-clip: start a new run from the checkpoint's weights",
  seed: "the seed determines the order of the samples: resume with the run's seed, or start a new run",
  datasetSize:
    "samples were added or removed since: resume with the data of that run, or start a new run from its weights",
  shards:
    "shards were added or removed since: resume with the shards of that run, or start a new run from its weights",
  shuffleBuffer:
    "it determines the order of the samples: resume with the run's shuffleBuffer, or start a new run",
};

/** The `ERR_EVACLIP_DATA` error for a cursor whose field `name` differs from this run's. */
export function anotherRunError(name: string, expected: unknown, found: unknown): EvaClipError {
  const problem = `the cursor is from a different run: expected ${name} ${expected}, found ${describeValue(found)}`;
  return new EvaClipError("ERR_EVACLIP_DATA", `${problem}; ${CHANGES[name]}`, { name, expected, found });
}

/** The cursor to start from: a new one, or a copy of `state`, checked against the seed and the data set. */
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
