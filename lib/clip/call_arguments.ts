import { z } from "zod";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  describeValue,
  flag,
  instanceOf,
  listOf,
  options,
  positiveInteger,
  text,
  wholeNumber,
} from "../arguments";
import { deviceArgument } from "../device";
import { EvaClipError } from "../errors";
import { promptTemplates } from "./templates";
import { holds } from "../host_tensor";
import { ClipModel } from "../models/clip_model";
import type { LayoutName } from "../weights/layouts/layout";
import type { WeightDType } from "../weights/weight_dtype";
import { ownArray } from "./own_inputs";

const signal = abortSignal.optional();
export const callOptions = options({ signal });
export const saveOptions = options({
  signal,
  // Checked by writeWeights, which knows the layouts.
  layout: z.custom<LayoutName>().optional(),
  dtype: z.custom<WeightDType>().optional(),
});
const encodeFields = { signal, normalize: flag.optional(), batchSize: positiveInteger.optional() };
export const encodeOptions = options(encodeFields);
export const streamOptions = options({ ...encodeFields, onError: anyFunction.optional() });
/** A string or a typed array can be iterated, too, but is one input. */
export const iterable = z.custom<Iterable<unknown> | AsyncIterable<unknown>>(
  (value) => {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return false;
    const { [Symbol.asyncIterator]: inTime, [Symbol.iterator]: atOnce } = value as Record<symbol, unknown>;
    return typeof (inTime ?? atOnce) === "function";
  },
  { error: "an iterable or an async iterable, such as a list or a generator" },
);
const classifierFields = { signal, templates: promptTemplates.optional() };
const rankFields = { signal, topK: positiveInteger.optional(), batchSize: positiveInteger.optional() };
export const classifierOptions = options(classifierFields);
export const rankOptions = options(rankFields);
export const classifyOptions = options({ ...classifierFields, ...rankFields });
export const captionList = listOf(text, "a string or a list of strings");
export const labelList = listOf(text, "a list of strings").min(1);

const tokenizer = z.custom(
  (value) =>
    typeof (value as { encode?: unknown } | null | undefined)?.encode === "function" &&
    Number.isInteger((value as { vocabularySize?: unknown }).vocabularySize),
  { error: "a tokenizer, with encode and vocabularySize" },
);
const wrapOptions = options({
  tokenizer: tokenizer.optional(),
  owns: options({ model: flag.optional(), device: flag.optional() }).optional(),
  loadReport: z.custom().optional(),
});

/** Checks the arguments of `EvaClip`'s constructor. */
export function checkWrapped(model: unknown, device: unknown, given: unknown): void {
  const aModel = instanceOf(ClipModel);
  checkArgument("EvaClip: model", model, aModel);
  checkArgument("EvaClip: device", device, deviceArgument);
  checkArgument("EvaClip: options", given, wrapOptions);
}

const typedArray = z.custom<Float32Array | Uint8Array>(
  (value) => ArrayBuffer.isView(value) && "length" in value,
  { error: "a Float32Array or a Uint8Array" },
);
const int32Array = z.custom<Int32Array>(
  (value) => ArrayBuffer.isView(value) && holds("i32", value as never),
  {
    error: "an Int32Array",
  },
);

/**
 * A copy of the pixels of `batch` images.
 * @throws EvaClipError `ERR_EVACLIP_SHAPE` for another number of pixels
 */
export function ownPixels(pixels: unknown, batch: unknown, imageSize: number): Float32Array | Uint8Array {
  checkArgument("encodePixels: batch", batch, wholeNumber);
  checkArgument("encodePixels: pixels", pixels, typedArray);
  const expected = batch * 3 * imageSize ** 2;
  if ((holds("f32", pixels) || holds("u8", pixels)) && pixels.length === expected) {
    return ownArray("encodePixels: pixels", pixels, batch);
  }
  const what = `a Float32Array [${batch}, 3, ${imageSize}, ${imageSize}] or a Uint8Array of as many elements`;
  const message = `encodePixels: pixels must be ${what}, found ${describeValue(pixels)}`;
  throw new EvaClipError("ERR_EVACLIP_SHAPE", message, { expected, actual: pixels.length });
}

/** A copy of rows of token ids. */
export function ownTokens(tokens: unknown, batch: unknown): Int32Array {
  checkArgument("encodeTokens: batch", batch, positiveInteger);
  checkArgument("encodeTokens: tokens", tokens, int32Array);
  return ownArray("encodeTokens: tokens", tokens, batch);
}
