// A data set of one's own may give anything: what it gives is checked where it comes in, by the name of the field.
import { z } from "zod";
import {
  anyFunction,
  checkArgument,
  describeValue,
  invalidArgument,
  listOf,
  ownArgument,
  reading,
  text,
  wholeNumber,
} from "../arguments";
import type { Dataset, EpochRequest, Json, Sample, SampleContent } from "./dataset";

/** For functions that take a data set; one may be of a class of its own, with more than is asked for here. */
export const datasetArgument = z.looseObject(
  {
    open: anyFunction,
    size: wholeNumber.optional(),
    classes: listOf(text, "a list of class names").optional(),
  },
  { error: "a data set" },
);

/** Whether it is the index of a class is for who needs classes to say. */
const numeric = z.custom<number>((value) => typeof value === "number", { error: "a number" });

/** What `IndexedSource.at` gives. */
export const indexedSample = z.looseObject(
  { key: text, label: numeric.optional(), read: anyFunction },
  { error: "a sample" },
);

/** Deeper values are the data set's own to get right; these become null, the start of an epoch, in a checkpoint. */
const position = z.custom<Json>(
  (value) =>
    value === null || ["boolean", "string", "object"].includes(typeof value) || Number.isFinite(value),
  { error: "plain JSON" },
);
const sampleShape = indexedSample.extend({ epoch: wholeNumber, index: wholeNumber, next: position });

function checkSample(given: unknown): Sample {
  const key = reading("a sample of the data set", () => (given as Sample | null | undefined)?.key);
  const name = `the data set's sample${typeof key === "string" ? ` ${describeValue(key)}` : ""}`;
  checkArgument(name, given, sampleShape);
  return reading(name, () => {
    const sample = given as Sample;
    const { epoch, index, label, next } = sample;
    // Read ahead of the batch that it belongs to, when the data set may have moved on.
    const own = { key: sample.key, epoch, index, next: structuredClone(next), read: () => sample.read() };
    return label === undefined ? own : { ...own, label };
  });
}

function iteratorOf(samples: unknown): AsyncIterator<unknown> {
  const begin = (samples as AsyncIterable<unknown> | null | undefined)?.[Symbol.asyncIterator];
  if (typeof begin === "function") {
    const iterator: unknown = begin.call(samples as AsyncIterable<unknown>);
    if (typeof (iterator as AsyncIterator<unknown> | null)?.next === "function")
      return iterator as AsyncIterator<unknown>;
  }
  throw invalidArgument(`the data set's open() must give an async iterable, found ${describeValue(samples)}`);
}

/**
 * The samples of an epoch, each checked.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the sample and the field; what the data set itself throws
 */
export async function* samplesOf(dataset: Dataset, request: EpochRequest): AsyncGenerator<Sample> {
  const iterator = iteratorOf(dataset.open(request));
  try {
    for (;;) {
      const step: unknown = await iterator.next();
      if (typeof step !== "object" || step === null) {
        const found = describeValue(step);
        throw invalidArgument(`next() of the data set's samples must give { value, done }, found ${found}`);
      }
      const { done, value } = step as IteratorResult<unknown>;
      if (done) return;
      yield checkSample(value);
    }
  } finally {
    await iterator.return?.();
  }
}

const captionList = listOf(text, "a list of strings");
const contentShape = z.looseObject({ captions: captionList }, { error: "an object with image and captions" });
const imageShape = z.looseObject({ captions: captionList.optional() }, { error: "an object with an image" });

/** What `Sample.read` gave. @param needsCaptions Where images are read alone, a sample may lack them. */
export function checkContent(key: string, given: unknown, needsCaptions: boolean): SampleContent {
  const name = `what read() of the data set's sample ${describeValue(key)} gives`;
  const { image, captions } = ownArgument(
    name,
    given as SampleContent,
    needsCaptions ? contentShape : imageShape,
  );
  return { image, captions: captions ?? [] };
}
