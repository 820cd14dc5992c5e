import { z } from "zod";
import { anyFunction, checkArgument, describeValue, text, wholeNumber } from "../arguments";
import { EvaClipError } from "../errors";
import type { Dataset, EpochRequest, IndexedSource, Json, Sample } from "./dataset";
import { permute } from "./random";

function startOf(position: Json | undefined, size: number): number {
  const start = position ?? 0;
  if (typeof start !== "number" || !Number.isInteger(start) || start < 0 || start > size) {
    const message = `the cursor does not fit the data set: expected a position from 0 to ${size}, found ${describeValue(position)}`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { position });
  }
  return start;
}

async function* samplesOf(
  source: IndexedSource,
  { seed, epoch, shuffle }: EpochRequest,
  start: number,
): AsyncGenerator<Sample> {
  for (let index = start; index < source.size; index++) {
    const { key, label, read } = source.at(shuffle ? permute(index, source.size, seed, epoch) : index);
    yield { key, epoch, index, next: index + 1, read, ...(label === undefined ? {} : { label }) };
  }
}

/** A source may be of a class of its own, with more than is asked for here. */
const SOURCE = z.looseObject(
  {
    size: wholeNumber,
    at: anyFunction,
    classes: z.array(text, { error: "a list of class names" }).optional(),
  },
  { error: "an object with a size and a function `at`" },
);

/** Makes a data set of samples that can be reached by number; any epoch starts, and resumes, at once. */
export function indexedDataset(source: IndexedSource): Dataset {
  checkArgument("indexedDataset: source", source, SOURCE);
  return {
    size: source.size,
    ...(source.classes === undefined ? {} : { classes: source.classes }),
    open: (request) => samplesOf(source, request, startOf(request.position, source.size)),
  };
}
