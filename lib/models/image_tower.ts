import type { RowSelection } from "../nn/attention";
import type { Block, BlockContext } from "../nn/block";
import type { InitScheme } from "../nn/initialization";
import { Module } from "../nn/module";
import type { PatchEmbedding } from "../nn/patch_embedding";
import { dropTokens } from "../nn/token_drop";
import { cast } from "../ops/elementwise";
import type { Precision } from "./precision";
import { l2Normalize } from "../ops/l2_normalize";
import { gatherRows } from "../ops/layout";
import type { PixelStatistics } from "../ops/patch_embed";
import { constant, type Operand, type Tensor } from "../tensor";

/** What a tower needs besides its own configuration. */
export interface TowerOptions {
  /** E, the dimensions of the space that image and text share. */
  embedDim: number;
  /** What the tower computes in. */
  precision: Precision;
  init: InitScheme;
  /** How u8 images are normalised. Default CLIP's. */
  pixels?: PixelStatistics | undefined;
}

export interface ImageOptions {
  /** [2] i32 (seed, step): a training pass, with the configured dropping of patches and stochastic depth. */
  seed?: Operand | undefined;
  /** [B, K] i32: the patches to keep, instead of a draw. */
  kept?: Tensor | undefined;
  /** The share of patches a training pass drops, instead of the configured one. */
  patchDropout?: number | undefined;
}

/** What every image tower does: patches to tokens, blocks, one pooled row an image, a head. */
export abstract class ImageTower extends Module {
  /** The side of the image, in pixels. */
  abstract readonly imageSize: number;
  /** What the tower computes in. */
  abstract readonly precision: Precision;
  /** The share of patches dropped in training. */
  abstract readonly patchDropout: number;
  protected abstract readonly embedding: PatchEmbedding;
  protected abstract readonly blocks: readonly Block[];

  /** From patches to the input of the first block, [B, N, width]. */
  protected abstract tokens(images: Tensor, kept?: Operand): Tensor;
  /** What the blocks need to know of the tokens. */
  protected abstract context(kept?: Operand): BlockContext;
  /** Which rows the head reads; undefined when it reads them all. */
  protected abstract selection(batch: number): RowSelection | undefined;
  /** From what the last block gives to the shared space, [B, E] f32. */
  protected abstract head(x: Tensor): Tensor;

  /** The embeddings of images u8 [B, S, S, 3] or normalised f32 [B, 3, S, S], before normalisation. → [B, E] f32 */
  features(images: Tensor, { seed, kept: given, patchDropout }: ImageOptions = {}): Tensor {
    const batch = images.shape[0]!;
    const drop = { batch, tokens: this.embedding.patches, rate: patchDropout ?? this.patchDropout, seed };
    const kept = given ?? dropTokens(drop);
    const context = { ...this.context(kept), seed };
    const last = this.blocks.length - 1;
    let x = this.tokens(images, kept);
    this.blocks.forEach((block, i) => {
      x = block.forward(x, context, i === last ? this.selection(batch) : undefined);
    });
    return this.head(x);
  }

  /** The embeddings of images, of unit length. → [B, E] f32 */
  encode(images: Tensor, options?: ImageOptions): Tensor {
    return l2Normalize(this.features(images, options));
  }
}

/** Selects the class token of each image: [B, N, C] → [B, C]. */
export function classTokens(batch: number): RowSelection {
  return (x) => {
    const tokens = x.shape[1]!;
    return gatherRows(
      x,
      constant(
        Int32Array.from({ length: batch }, (_, b) => b * tokens),
        [batch],
      ),
    );
  };
}

/** x in f32: pooled rows are few, and the head and the loss gain from the precision. */
export function toFloat32(x: Tensor): Tensor {
  return x.dtype === "f32" ? x : cast(x, "f32");
}
