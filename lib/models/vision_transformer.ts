import type { RowSelection } from "../nn/attention";
import type { Block, BlockContext } from "../nn/block";
import type { PatchEmbedding } from "../nn/patch_embedding";
import { dropTokens } from "../nn/token_drop";
import { gatherRows } from "../ops/layout";
import { constant, type Operand, type Tensor } from "../tensor";
import { type ImageOptions, ImageTower } from "./image_tower";

/** A vision transformer (Dosovitskiy et al. 2021): patches to tokens, blocks, pooling, head. */
export abstract class VisionTransformer extends ImageTower {
  protected abstract readonly embedding: PatchEmbedding;
  protected abstract readonly blocks: readonly Block[];

  /** images u8 [B, S, S, 3] or f32 [B, 3, S, S] → the input of the first block, [B, N, width] */
  protected abstract tokens(images: Tensor, kept?: Operand): Tensor;
  /** Describes the tokens to the blocks. */
  protected abstract context(kept?: Operand): BlockContext;
  /** The rows that the head reads; undefined for all. */
  protected abstract selection(batch: number): RowSelection | undefined;
  /** The output of the last block → [B, E] f32 */
  protected abstract head(x: Tensor): Tensor;

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
}

/** Selects the class token of each image. [B, N, C] → [B, C] */
export function classTokens(batch: number): RowSelection {
  return (x) => {
    const tokens = x.shape[1]!;
    const rows = Int32Array.from({ length: batch }, (_, b) => b * tokens);
    return gatherRows(x, constant(rows, [batch]));
  };
}
