import type { ClipConfigInput } from "eva-clip";

/** How a run trains. Chosen on the validation style (`--validate`). */
export interface Recipe {
  seed: number;
  steps: number;
  batch: number;
  optimizer: "lamb" | "adamw";
  learningRate: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  eps: number;
  /** Largest global norm of the gradients. */
  clipNorm: number;
  /** Part of the steps in which the learning rate grows; it then falls to zero along half a cosine. */
  warmup: number;
  /** Part of the steps, the last ones, in which no patches are dropped, as in the test. */
  undropped: number;
  /** Strength of the augmentation, 0 to 1. */
  augment: number;
  /** Probability of a random background colour. */
  randomBackground: number;
  /** Probability that a caption is the name alone, without keywords. */
  labelOnly: number;
  /** Type of the activations. */
  precision: "f32" | "bf16";
}

/** A fixed number of steps: at most five minutes on two cores. */
export const DEFAULT_STEPS = 1800;

/** Each as good as it was found to be at this batch; LAMB learns more in the same steps (docs/performance.md). */
const LEARNING_RATES = { adamw: 2.8e-3, lamb: 5e-3 } as const;

/** Longest caption in tokens, start and end included. */
export const CONTEXT_LENGTH = 16;

/** Pixels a side that the model sees. */
export const IMAGE_SIZE = 48;

export function recipeFor(given: Pick<Recipe, "seed" | "steps" | "optimizer" | "precision">): Recipe {
  return {
    ...given,
    batch: 256,
    learningRate: LEARNING_RATES[given.optimizer],
    weightDecay: 0.05,
    beta1: 0.9,
    beta2: 0.98,
    eps: 1e-6,
    clipNorm: 1,
    warmup: 0.04,
    undropped: 0.1,
    augment: 0.5,
    randomBackground: 0.1,
    labelOnly: 0.7,
  };
}

/** EVA-02's parts (rotary positions, SwiGLU, sub-LN) at a size that a CPU trains in minutes. */
export function modelConfig(vocabularySize: number): ClipConfigInput {
  return {
    embed_dim: 128,
    vision_cfg: {
      eva_model_name: "eva-clip-emoji",
      image_size: IMAGE_SIZE,
      patch_size: 8,
      width: 128,
      layers: 4,
      head_width: 64,
      mlp_ratio: 344 / 128,
      patch_dropout: 0.5,
      pool_type: "avg",
      rope: true,
      pt_hw_seq_len: 16,
      intp_freq: true,
      naiveswiglu: true,
      subln: true,
    },
    text_cfg: { context_length: CONTEXT_LENGTH, vocab_size: vocabularySize, width: 128, heads: 2, layers: 2 },
  };
}
