import { EvaClipError } from "eva-clip";

/** Recall at 1, 5 and 10. */
export interface Recall {
  top1: number;
  top5: number;
  top10: number;
}

/** A test image, in the order of the rows of the scores. */
export interface TestItem {
  /** Whether the concept is absent from training, in every style. */
  unseen: boolean;
  group: string;
}

/** All scores of one model, as fractions of 1. */
export interface Metrics {
  /** Number of candidate names in test A. */
  names: number;
  /** Test A: classification of every image among all names. */
  style: Recall;
  /** Test A restricted to images of concepts seen in training in other styles. */
  styleSeen: Recall;
  /** Number of candidate names in test B. */
  unseenNames: number;
  /** Test B: classification of images of unseen concepts among the unseen concepts' names. */
  unseen: Recall;
  /** Retrieval of the image of every name among all images. */
  textToImage: Recall;
  /** Test A within each group of concepts, among the names of that group. */
  groups: { group: string; names: number; recall: Recall }[];
}

/**
 * Scores a model from the similarities of its test images and names.
 *
 * @param scores f32 [N, N]: row i is image i, column j is name j; image i matches name i
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` when a score is not finite; a NaN would otherwise rank first
 */
export function metricsOf(scores: Float32Array, items: readonly TestItem[]): Metrics {
  const n = items.length;
  const bad = scores.findIndex((score) => !Number.isFinite(score));
  if (bad >= 0 || scores.length !== n * n) {
    throw new EvaClipError(
      "ERR_EVACLIP_NOT_FINITE",
      `scores: expected ${n} x ${n} finite numbers; found ${scores.length}, element ${bad} is ${scores[bad]}`,
    );
  }
  const all = items.map((_, i) => i);
  const seen = all.filter((i) => !items[i]!.unseen);
  const unseen = all.filter((i) => items[i]!.unseen);
  const groups = [...new Set(items.map(({ group }) => group))].sort().map((group) => {
    const members = all.filter((i) => items[i]!.group === group);
    return { group, names: members.length, recall: recallOf(scores, n, members, members) };
  });
  return {
    names: n,
    style: recallOf(scores, n, all, all),
    styleSeen: recallOf(scores, n, seen, all),
    unseenNames: unseen.length,
    unseen: recallOf(scores, n, unseen, unseen),
    textToImage: recallOf(transpose(scores, n), n, all, all),
    groups,
  };
}

/**
 * @param queries rows to score
 * @param candidates columns to rank, including each query's own
 */
function recallOf(
  scores: Float32Array,
  n: number,
  queries: readonly number[],
  candidates: readonly number[],
): Recall {
  const ranks = queries.map((query) =>
    rankOf(scores.subarray(query * n, (query + 1) * n), query, candidates),
  );
  const within = (count: number) => ranks.filter((rank) => rank < count).length / Math.max(1, ranks.length);
  return { top1: within(1), top5: within(5), top10: within(10) };
}

/** The number of other candidates that score at least as high as `own`: ties count as wrong. */
function rankOf(row: Float32Array, own: number, candidates: readonly number[]): number {
  let better = 0;
  for (const candidate of candidates) if (candidate !== own && row[candidate]! >= row[own]!) better++;
  return better;
}

function transpose(matrix: Float32Array, n: number): Float32Array {
  const result = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) result[j * n + i] = matrix[i * n + j]!;
  return result;
}
