import { describeValue, invalidArgument } from "../../arguments";
import type { EvaClipError } from "../../errors";
import { shownPath } from "../../io/regular_file";
import type { BatchSample } from "./batch";
import { checkContent, samplesOf } from "../checked_dataset";
import type { Dataset, Json, Sample } from "../dataset";
import type { LoaderCursor } from "./loader_cursor";
import type { ImageTransform, Skip } from "./loader_options";
import { isTokenRow } from "../../text/pack_text";
import { CounterRandom } from "../../random";
import { SampleError, skipReasonOf } from "../../sample_error";
import { systemTrouble, troubleError, whenFilesAreFree } from "../system_trouble";
import type { Tokenizer } from "../../text/tokenizer";

const CAPTION_STREAM = 1;
const IMAGE_STREAM = 2;

/** An item of the run: a sample, or the end of an epoch; `fromStart` if the whole epoch was read. */
export type Step =
  | { readonly kind: "sample"; readonly sample: Sample }
  | { readonly kind: "epochEnd"; readonly epoch: number; readonly fromStart: boolean };

/** A sample ready for a batch, a skipped sample, or the end of an epoch. */
export type Prepared =
  | { readonly kind: "ready"; readonly next: Json; readonly epoch: number; readonly row: Row }
  | { readonly kind: "skipped"; readonly next: Json; readonly epoch: number; readonly skip: Skip }
  | { readonly kind: "epochEnd"; readonly epoch: number; readonly fromStart: boolean };

/** One row of a batch. */
export interface Row {
  readonly sample: BatchSample;
  readonly pixels: Uint8Array; // [S, S, 3]
  readonly tokens: ArrayLike<number> | undefined;
}

export interface Preparation {
  readonly imageSize: number;
  readonly contextLength: number;
  readonly seed: number;
  /** Choose a random caption instead of the first. */
  readonly chooseCaption: boolean;
  readonly tokenizer: Tokenizer | undefined;
  readonly transform: ImageTransform;
}

/** All samples from the cursor on, until `epochs` epochs have ended or the signal is aborted. */
export async function* stepsOf(
  dataset: Dataset,
  cursor: LoaderCursor,
  shuffle: boolean,
  epochs: number,
  signal: AbortSignal,
): AsyncGenerator<Step> {
  let { position } = cursor;
  for (let { epoch } = cursor; epoch < epochs; epoch++) {
    const request = { seed: cursor.seed, epoch, shuffle, ...(position === null ? {} : { position }) };
    for await (const sample of samplesOf(dataset, request)) {
      if (signal.aborted) return;
      yield { kind: "sample", sample };
    }
    yield { kind: "epochEnd", epoch, fromStart: position === null };
    position = null;
  }
}

function captionFor(
  sample: Sample,
  captions: readonly string[],
  { seed, chooseCaption }: Preparation,
): string {
  const written = captions.filter((caption) => caption.trim() !== "");
  if (written.length === 0) {
    const [reason, problem] =
      captions.length === 0
        ? (["missing_caption", "no"] as const)
        : (["empty_caption", "only an empty"] as const);
    throw new SampleError(reason, `${sample.key} has ${problem} caption`, { key: sample.key });
  }
  if (!chooseCaption) return written[0]!;
  return written[new CounterRandom(seed, sample.epoch, sample.index, CAPTION_STREAM).below(written.length)]!;
}

/** Runs the transform; an invalid image, such as an unsupported URL, becomes a SampleError. */
export async function transformed<T>(key: string, transform: () => T | Promise<T>): Promise<T> {
  try {
    return await transform();
  } catch (error) {
    const { code, message } = (error ?? {}) as Partial<EvaClipError>;
    if (code !== "ERR_EVACLIP_INVALID_ARGUMENT") throw error;
    throw new SampleError("undecodable_image", `${shownPath(key)}: ${message}`, { key }, error);
  }
}

/** The tokens of a caption, checked because the tokenizer may be user-defined. */
function tokensOf(key: string, caption: string, tokenizer: Tokenizer, contextLength: number): number[] {
  const ids = tokenizer.encode(caption, contextLength);
  if (isTokenRow(ids) && ids.length <= contextLength) return ids;
  const expected = `1 to ${contextLength} token ids`;
  const found = describeValue(ids);
  const message = `the tokenizer must return ${expected} for the caption of ${key}, found ${found}`;
  throw invalidArgument(message, { key });
}

async function rowOf(sample: Sample, preparation: Preparation): Promise<Row> {
  const { imageSize, contextLength, seed, tokenizer, transform } = preparation;
  const { image, captions } = checkContent(sample.key, await sample.read(), tokenizer !== undefined);
  const tokens =
    tokenizer && tokensOf(sample.key, captionFor(sample, captions, preparation), tokenizer, contextLength);
  const random = new CounterRandom(seed, sample.epoch, sample.index, IMAGE_STREAM);
  const pixels = await transformed(sample.key, () => transform(image, imageSize, random));
  const { key, epoch, index, label } = sample;
  return {
    pixels,
    tokens,
    sample: { key, epoch, index, captions, ...(label === undefined ? {} : { label }) },
  };
}

/**
 * Reads, decodes and tokenizes one sample. An unusable sample becomes a skip; any other error is thrown. System errors
 * are thrown, because skipping would make the run depend on them.
 */
export async function prepareSample(step: Step, preparation: Preparation): Promise<Prepared> {
  if (step.kind === "epochEnd") return step;
  const { key, next, epoch } = step.sample;
  const row = await unlessUnusable(key, () => rowOf(step.sample, preparation));
  if ("reason" in row) return { kind: "skipped", next, epoch, skip: row };
  return { kind: "ready", next, epoch, row };
}

/** What `read` makes of a sample, or why it is unusable. Other errors are thrown, system errors as ERR_EVACLIP_IO. */
export async function unlessUnusable<T extends object>(
  key: string,
  read: () => Promise<T>,
): Promise<T | Skip> {
  try {
    return await whenFilesAreFree(read);
  } catch (error) {
    const trouble = systemTrouble(error);
    if (trouble !== undefined) throw troubleError(key, trouble);
    const reason = skipReasonOf(error);
    if (reason === undefined) throw error;
    return { reason, key, message: (error as Error).message };
  }
}
