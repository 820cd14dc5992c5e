// Checks of user-defined data sets: every value they return is validated, and errors name the field.
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

/** Schema of a data set argument; other fields are allowed, as a class may have them. */
export const datasetArgument = z.looseObject(
  {
    open: anyFunction,
    size: wholeNumber.optional(),
    classes: listOf(text, "a list of class names").optional(),
  },
  { error: "a data set" },
);

/** Whether it is a valid class index is checked where labels are used. */
const numeric = z.custom<number>((value) => typeof value === "number", { error: "a number" });

/** Schema of the result of `IndexedSource.at`. */
export const indexedSample = z.looseObject(
  { key: text, label: numeric.optional(), read: anyFunction },
  { error: "a sample" },
);

/**
 * Checked at the top level only. The values it rejects (undefined, NaN, …) would become null, the start of an epoch, in a
 * checkpoint's JSON.
 */
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
    // Copied, because samples are read ahead and the data set may change its own object afterwards.
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
  throw invalidArgument(
    `the data set's open() must return an async iterable, found ${describeValue(samples)}`,
  );
}

/**
 * The samples of an epoch, each checked.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the sample and the field; errors of the data set unchanged
 */
export async function* samplesOf(dataset: Dataset, request: EpochRequest): AsyncGenerator<Sample> {
  const iterator = iteratorOf(dataset.open(request));
  try {
    for (;;) {
      const step: unknown = await iterator.next();
      if (typeof step !== "object" || step === null) {
        const found = describeValue(step);
        throw invalidArgument(`next() of the data set's samples must return { value, done }, found ${found}`);
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
const metadata = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]), {
    error: "an object of strings, numbers, booleans and null",
  })
  .optional();
const contentShape = z.looseObject(
  { captions: captionList, metadata },
  { error: "an object with image and captions" },
);
const imageShape = z.looseObject(
  { captions: captionList.optional(), metadata },
  { error: "an object with an image" },
);

/** Checks the result of `Sample.read`. @param needsCaptions false if only images are read */
export function checkContent(key: string, given: unknown, needsCaptions: boolean): SampleContent {
  const name = `the result of read() of the data set's sample ${describeValue(key)}`;
  const { image, captions, metadata } = ownArgument(
    name,
    given as SampleContent,
    needsCaptions ? contentShape : imageShape,
  );
  return { image, captions: captions ?? [], ...(metadata && { metadata }) };
}
