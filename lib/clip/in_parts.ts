import { throwIfAborted } from "../abortable";
import { runAhead } from "../data/loader/pipeline";

/** Largest number of samples of one run; smaller ones are powers of two, so that a model has few programs. */
export const LARGEST_BATCH = 32;

/** Samples `start` to `start + size` of a call. */
export interface Part {
  readonly start: number;
  readonly size: number;
}

export interface PartOptions {
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

/** A batch of any size as powers of two, the largest first: 41 → 32, 8, 1. */
export function batchParts(size: number, largest = LARGEST_BATCH): number[] {
  const parts: number[] = [];
  for (let left = size; left > 0; left -= parts.at(-1)!) {
    parts.push(Math.min(largest, 2 ** Math.floor(Math.log2(left))));
  }
  return parts;
}

/**
 * Runs `count` samples in parts, in order. While `run` awaits the device for one part, only the next one is prepared.
 * @param prepare makes the inputs of a part, such as decoded pixels
 * @throws the signal's reason
 */
export async function inParts<T>(
  count: number,
  { batchSize, signal }: PartOptions,
  prepare: (part: Part) => T | Promise<T>,
  run: (prepared: T, part: Part) => Promise<void>,
): Promise<void> {
  async function* preparedParts(): AsyncGenerator<{ prepared: T; part: Part }, undefined> {
    let start = 0;
    for (const size of batchParts(count, batchSize)) {
      throwIfAborted(signal);
      const part = { start, size };
      yield { prepared: await prepare(part), part };
      start += size;
    }
  }
  for await (const { prepared, part } of runAhead(preparedParts(), 1)) {
    throwIfAborted(signal);
    await run(prepared, part);
  }
}
