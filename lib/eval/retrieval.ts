import { setImmediate } from "node:timers/promises";
import type { Dataset } from "../data/dataset";
import { type Encoder, type Rows, stackRows } from "./encoder";
import { countSkips, describeImages, type EvaluationOptions, evaluationLoader } from "./zero_shot";

/** Scores ranked before the event loop gets its turn. */
const SCORES_AT_ONCE = 1_000_000;
const CAPTIONS_AT_ONCE = 256;

export interface RecallScores {
  /** Share of queries with a right answer among the best 1, 5 and 10. */
  readonly recallAt1: number;
  readonly recallAt5: number;
  readonly recallAt10: number;
  /** Place of the best right answer, counted from 1. */
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
  /** Samples that could not be used. */
  readonly skipped: number;
  /** How the scores were made. */
  readonly protocol: string;
}

/** Ranks by which recall is computed: 0 is best. */
export function recallScores(ranks: readonly number[]): RecallScores {
  const share = (k: number) => ranks.filter((rank) => rank < k).length / ranks.length;
  const sorted = [...ranks].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
  return {
    recallAt1: share(1),
    recallAt5: share(5),
    recallAt10: share(10),
    meanRank: ranks.reduce((sum, rank) => sum + rank, 0) / ranks.length + 1,
    medianRank: Math.floor(median) + 1,
  };
}

/**
 * For each query the rank of its best right answer: the answers that score higher, and those that score the same and
 * come earlier. Scores are computed and ranked a few queries at a time.
 *
 * @param queries [N, E]
 * @param answers [M, E]
 * @param rightAnswers the places of query n's right answers, at least one
 */
export async function bestRanks(
  encoder: Encoder,
  queries: Rows,
  answers: Rows,
  rightAnswers: (query: number) => readonly number[],
  signal?: AbortSignal,
): Promise<number[]> {
  const { embedDim } = encoder;
  const answerCount = answers.length / embedDim;
  const queryCount = queries.length / embedDim;
  const chunk = Math.max(1, Math.floor(SCORES_AT_ONCE / answerCount));
  const ranks: number[] = [];
  for (let start = 0; start < queryCount; start += chunk) {
    signal?.throwIfAborted();
    const some = queries.subarray(start * embedDim, Math.min(queryCount, start + chunk) * embedDim);
    const scores = await encoder.products(some, answers);
    for (let n = 0; n < some.length / embedDim; n++) {
      const row = scores.subarray(n * answerCount, (n + 1) * answerCount);
      ranks.push(bestRank(row, rightAnswers(start + n)));
    }
    await setImmediate();
  }
  return ranks;
}

function bestRank(scores: Float32Array, right: readonly number[]): number {
  const isRight = new Set(right);
  const best = right.reduce((a, b) => (scores[b]! > scores[a]! ? b : a));
  const score = scores[best]!;
  let rank = 0;
  for (let i = 0; i < scores.length; i++) {
    if ((scores[i]! > score || (scores[i] === score && i < best)) && !isRight.has(i)) rank++;
  }
  return rank;
}

/** Embeddings of all images [N, E], and every caption with its image. */
async function encodeImages(encoder: Encoder, dataset: Dataset, options: EvaluationOptions) {
  const { signal, onProgress } = options;
  const features: Float32Array[] = [];
  const captions: string[][] = [];
  await using loader = evaluationLoader(dataset, encoder, options);
  for await (const batch of loader) {
    const rows = await encoder.encodePixels(batch.images, batch.size, signal ? { signal } : {});
    batch.samples.forEach(({ captions: own }, b) => {
      const written = own.map((caption) => caption.trim()).filter((caption) => caption !== "");
      if (written.length === 0) return;
      features.push(rows.subarray(b * encoder.embedDim, (b + 1) * encoder.embedDim));
      captions.push(written);
    });
    onProgress?.(features.length, dataset.size);
  }
  return { images: stackRows(features, encoder.embedDim), captions, skipped: countSkips(loader.skips) };
}

async function encodeCaptions(encoder: Encoder, captions: readonly string[], signal?: AbortSignal) {
  const rows: Float32Array[] = [];
  for (let start = 0; start < captions.length; start += CAPTIONS_AT_ONCE) {
    const some = captions.slice(start, start + CAPTIONS_AT_ONCE);
    rows.push(...(await encoder.encodeText(some, signal ? { signal } : {})));
  }
  return stackRows(rows, encoder.embedDim);
}

/**
 * Retrieval in both directions over a data set of images with one or more captions each; never holds the whole matrix
 * of similarities.
 */
export async function evaluateRetrieval(
  encoder: Encoder,
  dataset: Dataset,
  options: EvaluationOptions = {},
): Promise<RetrievalResult> {
  const { signal } = options;
  const { images, captions, skipped } = await encodeImages(encoder, dataset, options);
  const imageOf = captions.flatMap((own, image) => own.map(() => image));
  const captionsOf: number[][] = captions.map(() => []);
  imageOf.forEach((image, caption) => captionsOf[image]!.push(caption));
  const texts = await encodeCaptions(encoder, captions.flat(), signal);
  const imageRanks = await bestRanks(encoder, images, texts, (image) => captionsOf[image]!, signal);
  const textRanks = await bestRanks(encoder, texts, images, (caption) => [imageOf[caption]!], signal);
  return {
    task: "retrieval",
    images: captions.length,
    captions: imageOf.length,
    imageToText: recallScores(imageRanks),
    textToImage: recallScores(textRanks),
    skipped,
    protocol:
      `retrieval among ${captions.length} images and ${imageOf.length} captions, every caption of an image counts as ` +
      `right; captions as they are, without a prompt; ${describeImages(encoder)}`,
  };
}
