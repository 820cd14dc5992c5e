import { CounterRandom } from "eva-clip/data";
import { type DataSet, DRAWING_BYTES, DRAWING_SIZE } from "../data_set";
import { sample } from "../random";
import { topIndices } from "../similarity";
import type { Split } from "../split";
import { pngDataUri } from "./images";
import type { MatrixDetail } from "./matrix_section";
import type { Example } from "./sections";

/** The test set with its scores. */
export interface Scored {
  data: DataSet;
  split: Split;
  /** f32 [N, N] cosines: row i is the image of `split.test[i]`, column j the name of `split.test[j]`. */
  cosines: Float32Array;
  /** exp(logit scale): the factor from cosines to logits. */
  scale: number;
}

const SHOWN_NAMES = 3;
const PURPOSE = { examples: 101, detail: 102 } as const;

/** Random test images, `seen` of concepts seen in training and `unseen` of others, with the best predictions. */
export async function drawExamples(
  scored: Scored,
  seed: number,
  seen: number,
  unseen: number,
): Promise<Example[]> {
  const random = new CounterRandom(seed, PURPOSE.examples);
  const all = scored.split.test.map((_, i) => i);
  const isUnseen = (i: number) => scored.split.test[i]!.unseen;
  const chosen = [
    ...sample(
      random,
      all.filter((i) => !isUnseen(i)),
      seen,
    ),
    ...sample(random, all.filter(isUnseen), unseen),
  ];
  return Promise.all(
    chosen.map(async (i) => ({
      label: labelOf(scored, i),
      unseen: isUnseen(i),
      image: await pictureOf(scored, i),
      names: bestNames(scored, i),
    })),
  );
}

/** A few concepts of every group, ordered by group, for the detail of the matrix. */
export async function drawDetail(scored: Scored, seed: number, perGroup: number): Promise<MatrixDetail> {
  const random = new CounterRandom(seed, PURPOSE.detail);
  const groupOf = (i: number) => scored.data.concepts[scored.split.test[i]!.concept]!.group;
  const all = scored.split.test.map((_, i) => i);
  const groups = [...new Set(all.map(groupOf))].sort();
  const indices = groups.flatMap((group) =>
    sample(
      random,
      all.filter((i) => groupOf(i) === group),
      perGroup,
    ),
  );
  return { indices, images: await Promise.all(indices.map((i) => pictureOf(scored, i))) };
}

function bestNames({ cosines, scale, ...scored }: Scored, i: number): Example["names"] {
  const n = scored.split.test.length;
  const row = cosines.subarray(i * n, (i + 1) * n);
  const best = topIndices(row, SHOWN_NAMES);
  const highest = row[best[0]!]!;
  const total = row.reduce((sum, cosine) => sum + Math.exp(scale * (cosine - highest)), 0);
  return best.map((j) => ({
    label: labelOf(scored, j),
    probability: Math.exp(scale * (row[j]! - highest)) / total,
    right: i === j,
  }));
}

function labelOf({ data, split }: Pick<Scored, "data" | "split">, i: number): string {
  return data.concepts[split.test[i]!.concept]!.label;
}

function pictureOf({ data, split }: Scored, i: number): Promise<string> {
  const start = split.test[i]!.drawing * DRAWING_BYTES;
  return pngDataUri(data.pixels.subarray(start, start + DRAWING_BYTES), DRAWING_SIZE, 4);
}
