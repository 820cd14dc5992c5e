import type { CallOptions } from "./eva_clip_options";
import type { PromptTemplates } from "./templates";

export interface ClassifierOptions extends CallOptions {
  /** Prompts with `{}` in place of the label; a label's embedding is the mean of its prompts'. Default `a photo of a {}.` */
  readonly templates?: PromptTemplates;
}

export interface RankOptions extends CallOptions {
  /** How many labels to return. Default 5. */
  readonly topK?: number;
  /** Maximum images per batch. Default 32. */
  readonly batchSize?: number;
}

export interface ClassifyOptions extends ClassifierOptions, RankOptions {}

/** A label and how well it describes the image. */
export interface Classification {
  readonly label: string;
  /** Softmax over all labels of e^logit_scale × similarity. */
  readonly probability: number;
  /** Cosine of the embeddings of image and label. */
  readonly similarity: number;
}

export const DEFAULT_TEMPLATES: PromptTemplates = ["a photo of a {}."];
const DEFAULT_TOP_K = 5;

/** The `topK` labels with the highest similarity, best first; ties in the order of `labels`. */
export function bestLabels(
  labels: readonly string[],
  similarity: Float32Array,
  probability: Float32Array,
  topK: number = DEFAULT_TOP_K,
): Classification[] {
  const least = similarity.slice().sort()[Math.max(0, labels.length - topK)]!;
  const candidates: Classification[] = [];
  similarity.forEach((value, i) => {
    if (value >= least)
      candidates.push({ label: labels[i]!, probability: probability[i]!, similarity: value });
  });
  return candidates.sort((a, b) => b.similarity - a.similarity).slice(0, topK);
}
