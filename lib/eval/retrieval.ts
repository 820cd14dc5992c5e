import { setImmediate } from "node:timers/promises";
import { options, ownArgument } from "../arguments";
import type { Dataset } from "../data/dataset";
import { EvaClipError } from "../errors";
import { throwIfAborted } from "../abortable";
import { type Encoder, type Rows, scoresOf, stackRows } from "../clip/encoder";
import { encodeCaptions } from "../clip/zero_shot_weights";
import { checkEvaluated, type Evaluated, useEncoder } from "./evaluated";
import {
  countSkips,
  describeImages,
  type EvaluationOptions,
  encodeBatch,
  evaluationFields,
  evaluationLoader,
  type Skips,
} from "./evaluation";
import { expectedPosition, probabilityWithin, type Rank, rankAmong } from "./rank";

/** Scores ranked before the event loop turns. */
const SCORES_AT_ONCE = 1_000_000;

const retrievalOptions = options(evaluationFields);

export interface RecallScores {
  /** Share of queries with a right answer among the best 1, 5 and 10; a tie counts as in random order. */
  readonly recallAt1: number;
  readonly recallAt5: number;
  readonly recallAt10: number;
  /** Position of the best right answer, counted from 1. */
  readonly meanRank: number;
  readonly medianRank: number;
}

export interface RetrievalResult {
  readonly task: "retrieval";
  readonly images: number;
  readonly captions: number;
  /** From an image to any of its captions. */
  readonly imageToText: RecallScores;
  /** From a caption to its image. */
  readonly textToImage: RecallScores;
  /** Samples that could not be used: their number, and by reason. */
  readonly skipped: number;
  readonly skips: Skips;
  /** How the scores were computed. */
  readonly protocol: string;
}

export function recallScores(ranks: readonly Rank[]): RecallScores {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const share = (k: number) => mean(ranks.map((rank) => probabilityWithin(rank, k)));
  const positions = ranks.map(expectedPosition);
  const sorted = [...positions].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
  return {
    recallAt1: share(1),
    recallAt5: share(5),
    recallAt10: share(10),
    meanRank: mean(positions) + 1,
    medianRank: Math.floor(median) + 1,
  };
}

/**
 * The rank of each query's best right answer. Scores are computed and ranked for a few queries at a time.
 *
 * @param queries [N, E]
 * @param answers [M, E]
 * @param rightAnswers the indices of query n's right answers, at least one
 */
export async function bestRanks(
  encoder: Encoder,
  queries: Rows,
  answers: Rows,
  rightAnswers: (query: number) => readonly number[],
  signal?: AbortSignal,
): Promise<Rank[]> {
  const { embedDim } = encoder;
  const answerCount = answers.length / embedDim;
  const queryCount = queries.length / embedDim;
  const chunk = Math.max(1, Math.floor(SCORES_AT_ONCE / answerCount));
  const ranks: Rank[] = [];
  for (let start = 0; start < queryCount; start += chunk) {
    throwIfAborted(signal);
    const some = queries.subarray(start * embedDim, Math.min(queryCount, start + chunk) * embedDim);
    const scores = await scoresOf(encoder, some, answers, signal);
    for (let n = 0; n < some.length / embedDim; n++) {
      const row = scores.subarray(n * answerCount, (n + 1) * answerCount);
      ranks.push(rankAmong(row, rightAnswers(start + n)));
    }
    await setImmediate();
  }
  return ranks;
}

/** Embeddings [N, E] of all images with captions, and the captions of each. */
async function encodeImages(encoder: Encoder, dataset: Dataset, options: EvaluationOptions) {
  const { signal, onProgress } = options;
  const features: Float32Array[] = [];
  const captions: string[][] = [];
  let uncaptioned = 0;
  await using loader = evaluationLoader(dataset, encoder, options);
  for await (const batch of loader) {
    const rows = await encodeBatch(encoder, batch, signal);
    batch.samples.forEach(({ captions: own }, b) => {
      const written = own.map((caption) => caption.trim()).filter((caption) => caption !== "");
      if (written.length === 0) {
        uncaptioned++;
        return;
      }
      features.push(rows.subarray(b * encoder.embedDim, (b + 1) * encoder.embedDim));
      captions.push(written);
    });
    await onProgress?.(features.length, dataset.size);
  }
  const missing_caption = (loader.skips.missing_caption ?? 0) + uncaptioned;
  const skips = { ...loader.skips, ...(missing_caption > 0 && { missing_caption }) };
  return { images: stackRows(features, encoder.embedDim), captions, skips };
}

/**
 * Retrieval in both directions over a data set of images with one or more captions each; the similarity matrix is
 * computed in blocks. Ties count as in random order. One call of the model: `dispose` waits for it.
 * @throws EvaClipError `ERR_EVACLIP_DATA` when no sample is an image with a caption; `ERR_EVACLIP_NOT_FINITE` when an
 *   embedding or a score is NaN or infinite
 */
export async function evaluateRetrieval(
  model: Evaluated,
  dataset: Dataset,
  options: EvaluationOptions = {},
): Promise<RetrievalResult> {
  checkEvaluated("evaluateRetrieval", model, dataset);
  const own = ownArgument("evaluateRetrieval: options", options, retrievalOptions);
  return useEncoder(model, own.signal, (encoder) => retrieval(encoder, dataset, own));
}

async function retrieval(
  encoder: Encoder,
  dataset: Dataset,
  options: EvaluationOptions,
): Promise<RetrievalResult> {
  const { signal } = options;
  const { images, captions, skips } = await encodeImages(encoder, dataset, options);
  if (captions.length === 0) {
    throw new EvaClipError("ERR_EVACLIP_DATA", "the data set has no image with a caption to score", {
      skips,
    });
  }
  const imageOf = captions.flatMap((own, image) => own.map(() => image));
  const captionsOf: number[][] = captions.map(() => []);
  imageOf.forEach((image, caption) => captionsOf[image]!.push(caption));
  const texts = stackRows(await encodeCaptions(encoder, captions.flat(), signal), encoder.embedDim);
  const imageRanks = await bestRanks(encoder, images, texts, (image) => captionsOf[image]!, signal);
  const textRanks = await bestRanks(encoder, texts, images, (caption) => [imageOf[caption]!], signal);
  return {
    task: "retrieval",
    images: captions.length,
    captions: imageOf.length,
    imageToText: recallScores(imageRanks),
    textToImage: recallScores(textRanks),
    skipped: countSkips(skips),
    skips,
    protocol:
      `retrieval among ${captions.length} images and ${imageOf.length} captions, every caption of an image counts as ` +
      `right; captions as they are, without a prompt; ${describeImages(encoder)}`,
  };
}
