import type { FloatDType } from "../ops/elementwise";
import { linear } from "../ops/linear";
import {
  addPositions,
  clipPixels,
  type PixelStatistics,
  patchProjection,
  patchRows,
} from "../ops/patch_embed";
import { Parameter } from "../parameter";
import { type Operand, reshape, type Tensor } from "../tensor";
import { type Initialization, zeros } from "./initialization";
import { Module } from "./module";

export interface PatchEmbeddingShape {
  /** The side of the image, in pixels. */
  imageSize: number;
  patchSize: number;
  width: number;
  init: Initialization;
  /** How u8 images are normalised. Default CLIP's. */
  pixels?: PixelStatistics | undefined;
}

/** The keys of the parameters, which differ between families; without `bias` the projection has none. */
export interface PatchEmbeddingNames {
  classToken: string;
  positions: string;
  weight: string;
  bias?: string;
}

/** Image patches as tokens behind a class token, with the embedding of each place added. */
export class PatchEmbedding extends Module {
  readonly classToken: Parameter; // width elements
  readonly positions: Parameter; // [..., 1 + N, width]
  readonly weight: Parameter; // [width, 3, P, P]
  readonly bias: Parameter | null; // [width]
  /** The patches along one side of the image. */
  readonly grid: number;
  private readonly pixels: PixelStatistics;

  /** @param leading The dimensions of size 1 that the family puts before those of its embeddings. */
  constructor(
    names: PatchEmbeddingNames,
    { imageSize, patchSize, width, init, pixels = clipPixels }: PatchEmbeddingShape,
    leading: readonly number[] = [],
  ) {
    super();
    this.grid = imageSize / patchSize;
    this.pixels = { mean: pixels.mean, std: pixels.std };
    const places = 1 + this.grid * this.grid;
    const tokenShape = leading.length > 0 ? [...leading, 1, width] : [width];
    this.classToken = new Parameter(names.classToken, tokenShape, init.token);
    this.positions = new Parameter(names.positions, [...leading, places, width], init.positions);
    this.weight = new Parameter(names.weight, [width, 3, patchSize, patchSize], init.patches);
    this.bias = names.bias === undefined ? null : new Parameter(names.bias, [width], zeros);
  }

  /** The patches of an image. */
  get patches(): number {
    return this.grid * this.grid;
  }

  /** images u8 [B, S, S, 3] or normalised f32 [B, 3, S, S], kept [B, K] i32 or all → [B, 1 + K, width] */
  forward(images: Tensor, kept: Operand | undefined, type: FloatDType): Tensor {
    const [width, , patchSize] = this.weight.shape as [number, number, number];
    const rows = patchRows(images, { patchSize, kept, dtype: type, pixels: this.pixels });
    const weight = reshape(this.weight, [width, 3 * patchSize * patchSize]);
    const isSingle = type === "f32" && weight.dtype === "f32";
    const x = isSingle ? patchProjection(rows, weight, this.bias) : linear(rows, [weight], [this.bias]);
    return addPositions(x, this.classToken, this.positions, kept);
  }
}
