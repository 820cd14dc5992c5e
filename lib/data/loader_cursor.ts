import { EvaClipError } from "../errors";
import type { Json } from "./dataset";
import type { SkipReason } from "./sample_error";

export type SkipCounts = Readonly<Partial<Record<SkipReason, number>>>;

/** Where a loader is, as plain JSON. */
export interface LoaderCursor {
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
}

/** The cursor to start from: a new one, or `given` once it is sure to belong to this seed and data set. */
export function startCursor(
  given: LoaderCursor | undefined,
  seed: number,
  datasetSize: number | undefined,
): LoaderCursor {
  const size = datasetSize ?? null;
  if (given === undefined) {
    return { version: 1, seed, epoch: 0, position: null, samplesRead: 0, skips: {}, datasetSize: size };
  }
  const expected: Partial<LoaderCursor> = { version: 1, seed, datasetSize: size };
  for (const [name, value] of Object.entries(expected)) {
    const found = given[name as keyof LoaderCursor];
    if (found === value) continue;
    const message = `the cursor belongs to another run: expected ${name} ${value}, found ${JSON.stringify(found)}`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { name, expected: value, found });
  }
  return given;
}
