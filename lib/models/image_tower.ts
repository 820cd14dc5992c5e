import type { InitScheme } from "../nn/initialization";
import { Module } from "../nn/module";
import type { Scope } from "../nn/scope";
import { cast } from "../ops/elementwise";
import { l2Normalize } from "../ops/l2_normalize";
import type { Activation } from "../ops/linear";
import type { PixelStatistics } from "../ops/patch_embed";
import type { Tensor } from "../tensor";
import type { Precision } from "./precision";

/** Options for building a tower, in addition to its configuration. */
export interface TowerOptions {
  /** The scope that its parameters are declared in. */
  scope: Scope;
  /** E, the dimension of the shared embedding space. */
  embedDim: number;
  precision: Precision;
  init: InitScheme;
  /** The model's activation; a family that has only one ignores it. */
  activation: Activation;
}

export interface ImageTowerOptions extends TowerOptions {
  /** Normalization of u8 images. Default CLIP's. */
  pixels?: PixelStatistics | undefined;
}

export interface ImageOptions {
  /** [2] i32 (seed, step): a training pass, with patch dropout and stochastic depth as configured. */
  seed?: Tensor | undefined;
  /** [B, K] i32: the patches to keep, instead of a random draw. */
  kept?: Tensor | undefined;
  /** The fraction of patches that a training pass drops, instead of the configured one. */
  patchDropout?: number | undefined;
}

/** Embeds images in the shared space. A family of towers extends it, or `VisionTransformer`. */
export abstract class ImageTower extends Module {
  /** S, the height and width of images in pixels. */
  abstract readonly imageSize: number;
  abstract readonly precision: Precision;
  /** The fraction of patches dropped in training. */
  abstract readonly patchDropout: number;

  /** images u8 [B, S, S, 3] or normalized f32 [B, 3, S, S] → [B, E] f32, not normalized */
  abstract features(images: Tensor, options?: ImageOptions): Tensor;

  /** images u8 [B, S, S, 3] or normalized f32 [B, 3, S, S] → [B, E] f32, of unit length */
  encode(images: Tensor, options?: ImageOptions): Tensor {
    return l2Normalize(this.features(images, options));
  }
}

/** x in f32: pooled rows are few, and the head and the loss gain from the precision. */
export function toFloat32(x: Tensor): Tensor {
  return x.dtype === "f32" ? x : cast(x, "f32");
}
