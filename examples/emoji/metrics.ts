import { EvaClipError } from "eva-clip";

/** A share of tests in which the right answer was first, or among the first 5 or 10. */
export interface Recall {
  top1: number;
  top5: number;
  top10: number;
}

/** What is known of each test, in the order of the rows of the scores. */
export interface TestItem {
  /** Not trained on in any style. */
  unseen: boolean;
  group: string;
}

/** All scores of one model, as fractions of 1. Counts are the number of names (or images) to choose from. */
export interface Metrics {
  /** Names in test A. */
  names: number;
  /** Test A: each image named out of all names. */
  style: Recall;
  /** Test A over the concepts that training showed in other styles. */
  styleSeen: Recall;
  /** Names in test B. */
  unseenNames: number;
  /** Test B: each image of an unseen concept, named out of the unseen concepts' names. */
  unseen: Recall;
  /** Each name, finding its image among all images. */
  textToImage: Recall;
  /** Test A inside each group of concepts, with the names of that group only. */
  groups: { group: string; names: number; recall: Recall }[];
}

/**
 * Scores a model from the similarities of its test images and names.
 *
 * @param scores f32 [N, N]: row i is image i, column j is name j, and i belongs to i
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` when a score is not a number, which would count as a win otherwise
 */
export function metricsOf(scores: Float32Array, items: readonly TestItem[]): Metrics {
  const n = items.length;
  const bad = scores.findIndex((score) => !Number.isFinite(score));
  if (bad >= 0 || scores.length !== n * n) {
    throw new EvaClipError(
      "ERR_EVACLIP_NOT_FINITE",
      `scores: expected ${n} x ${n} finite numbers; found ${scores.length}, number ${bad} being ${scores[bad]}`,
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
 * @param queries rows that are asked
 * @param candidates columns that they choose from, the query's own among them
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

/** How many candidates score at least as much as `own`: an undecided model is not given the benefit of the doubt. */
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
