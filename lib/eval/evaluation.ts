import type { z } from "zod";
import { abortSignal, anyFunction, positiveInteger } from "../arguments";
import type { Batch } from "../data/loader/batch";
import type { Dataset } from "../data/dataset";
import { createLoader } from "../data/loader/loader";
import { EvaClipError } from "../errors";
import { CLIP_PREPROCESSING, describePreprocessing } from "../image/preprocessing";
import { checkRows, type Encoder, type Rows } from "../clip/encoder";
import { checkEmbedding, notFinite } from "../clip/finite";

const DEFAULT_BATCH = 32;

export interface EvaluationOptions {
  /** Images decoded and encoded at a time. Default 32. */
  readonly batchSize?: number;
  /**
   * Called with the number of processed images and, if known, the total; the evaluation awaits it. If it throws or
   * rejects, so does the evaluation.
   */
  readonly onProgress?: (done: number, total: number | undefined) => unknown;
  /** Ends the evaluation: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export const evaluationFields = {
  batchSize: positiveInteger.optional(),
  onProgress: anyFunction.optional(),
  signal: abortSignal.optional(),
} satisfies Record<keyof EvaluationOptions, z.ZodType>;

/** The number of skipped samples, by reason. */
export type Skips = Readonly<Record<string, number>>;

/** All samples of a data set in its own order, under the evaluation transform. */
export function evaluationLoader(
  dataset: Dataset,
  { imageSize, preprocessing }: Pick<Encoder, "imageSize" | "preprocessing">,
  { batchSize, signal }: EvaluationOptions,
) {
  return createLoader(dataset, {
    batchSize: batchSize ?? DEFAULT_BATCH,
    imageSize,
    ...(preprocessing && { preprocessing }),
    transform: "evaluation",
    shuffle: false,
    text: false,
    dropLast: false,
    epochs: 1,
    ...(signal && { signal }),
  });
}

/** Embeddings [batch, E] of a batch's images; an error names an image by its key in the data set. */
export async function encodeBatch(
  encoder: Encoder,
  { images, size, samples }: Pick<Batch, "images" | "size"> & { samples: readonly { key: string }[] },
  signal?: AbortSignal,
): Promise<Rows> {
  const { embedDim } = encoder;
  let rows: Rows;
  try {
    rows = await encoder.encodePixels(images, size, signal ? { signal } : {});
  } catch (error) {
    if (!(error instanceof EvaClipError) || error.code !== "ERR_EVACLIP_NOT_FINITE") throw error;
    const key = samples[Number(error.details?.index)]?.key;
    throw key === undefined ? error : notFinite(`${key}: ${error.message}`, { ...error.details, key });
  }
  checkRows(`the embeddings of ${size} images`, rows, size * embedDim);
  samples.forEach(({ key }, i) => {
    checkEmbedding(rows.subarray(i * embedDim, (i + 1) * embedDim), undefined, i, () => key);
  });
  return rows;
}

export function countSkips(skips: Skips): number {
  return Object.values(skips).reduce((sum, count) => sum + count, 0);
}

/** Describes image preprocessing and the computation of embeddings, for the protocol. */
export function describeImages(encoder: Encoder): string {
  const { imageSize, preprocessing = CLIP_PREPROCESSING } = encoder;
  return `images with the ${describePreprocessing(preprocessing, imageSize)}; ${encoder.description}`;
}
