import type { ClipConfigInput } from "eva-clip";

/** Hyperparameters of a run. Chosen on the validation style (`--validate`). */
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
  /** Fraction of the steps with a linear warm-up; the learning rate then decays to zero along a cosine. */
  warmup: number;
  /** Final fraction of the steps without patch dropout. */
  undropped: number;
  /** Strength of the augmentation, 0 to 1. */
  augment: number;
  /** Probability of a random background color. */
  randomBackground: number;
  /** Probability that a caption is the name alone, without keywords. */
  labelOnly: number;
  /** What the model computes in. */
  precision: "f32" | "bf16";
}

/** At most five minutes on two cores. */
export const DEFAULT_STEPS = 1800;

/** The best found at this batch size; with equal steps LAMB reaches a higher accuracy (docs/performance.md). */
const LEARNING_RATES = { adamw: 2.8e-3, lamb: 5e-3 } as const;

/** Maximum caption length in tokens, including start and end. */
export const CONTEXT_LENGTH = 16;

/** Side of the model's input images, in pixels. */
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

/** EVA-02's architecture (RoPE, SwiGLU, sub-LN) at a size that a CPU trains in minutes. */
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
