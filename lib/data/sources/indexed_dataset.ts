import { z } from "zod";
import {
  anyFunction,
  checkArgument,
  describeValue,
  listOf,
  ownArgument,
  text,
  wholeNumber,
} from "../../arguments";
import { EvaClipError } from "../../errors";
import { indexedSample } from "../checked_dataset";
import type { Dataset, EpochRequest, IndexedSource, Json, Sample } from "../dataset";
import { permute } from "../../random";

function startOf(position: Json | undefined, size: number): number {
  const start = position ?? 0;
  if (typeof start !== "number" || !Number.isInteger(start) || start < 0 || start > size) {
    const message = `the cursor does not match the data set: expected a position from 0 to ${size}, found ${describeValue(position)}`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { position });
  }
  return start;
}

async function* samplesOf(
  source: IndexedSource,
  size: number,
  { seed, epoch, shuffle }: EpochRequest,
  start: number,
): AsyncGenerator<Sample> {
  for (let index = start; index < size; index++) {
    const place = shuffle ? permute(index, size, seed, epoch) : index;
    const sample = source.at(place);
    checkArgument(`the data set's at(${place})`, sample, indexedSample);
    const { key, label } = sample;
    const read = () => sample.read();
    yield { key, epoch, index, next: index + 1, read, ...(label === undefined ? {} : { label }) };
  }
}

/** Other fields are allowed, as a class may have them. */
const SOURCE = z.looseObject(
  {
    size: wholeNumber,
    at: anyFunction,
    classes: listOf(text, "a list of class names").optional(),
  },
  { error: "an object with a size and a function `at`" },
);

/** A data set of a random-access source; any epoch starts or resumes immediately. */
export function indexedDataset(source: IndexedSource): Dataset {
  const { size, classes } = ownArgument("indexedDataset: source", source, SOURCE);
  return {
    size,
    ...(classes === undefined ? {} : { classes }),
    open: (request) => samplesOf(source, size, request, startOf(request.position, size)),
  };
}
