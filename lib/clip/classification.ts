import type { PromptTemplates } from "./templates";
import type { CallOptions } from "./eva_clip_options";

export interface ClassifyOptions extends CallOptions {
  /** Prompts whose `{}` stands for the label; their embeddings are averaged. Default `a photo of a {}.` */
  readonly templates?: PromptTemplates;
  /** How many labels to return. Default 5. */
  readonly topK?: number;
}

/** A label and how well it describes the image. */
export interface Classification {
  readonly label: string;
  /** Cosine of the embeddings. */
  readonly score: number;
  /** The share among all labels of e to the logit scale times the cosine. */
  readonly probability: number;
}

/** What a label is put into when no templates are given. */
export const DEFAULT_TEMPLATES: PromptTemplates = ["a photo of a {}."];

/** All labels by falling score, with their shares of the softmax of `scale` times the scores. */
export function rankLabels(scores: Float32Array, labels: readonly string[], scale: number): Classification[] {
  const best = scores.reduce((a, score) => Math.max(a, score), Number.NEGATIVE_INFINITY);
  const weights = Array.from(scores, (score) => Math.exp(scale * (score - best)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return labels
    .map((label, i) => ({ label, score: scores[i]!, probability: weights[i]! / total }))
    .sort((a, b) => b.score - a.score);
}
