import type { FloatDType } from "../ops/elementwise";
import { linear } from "../ops/linear";
import {
  addPositions,
  clipPixels,
  type PixelStatistics,
  patchProjection,
  patchRows,
} from "../ops/patch_embed";
import type { Parameter } from "../parameter";
import type { Operand, Tensor } from "../tensor";
import { type Initialization, zeros } from "./initialization";
import { MATRIX } from "./linear";
import { Module } from "./module";
import { storedColumns } from "./padding";
import type { Scope } from "./scope";

export interface PatchEmbeddingShape {
  /** The height and width of images, in pixels. */
  imageSize: number;
  patchSize: number;
  width: number;
  init: Initialization;
  /** Normalization of u8 images. Default CLIP's. */
  pixels?: PixelStatistics | undefined;
}

/** The keys and shapes of the parameters, which differ between families. */
export interface PatchEmbeddingKeys {
  classToken: string;
  positions: string;
  weight: string;
  /** Without it the projection has no bias. */
  bias?: string;
  /** The dimensions of size 1 before those of the class token and the positions. */
  leading?: readonly number[];
  /** Whether positions of another grid are resized with aligned corners (OpenAI's), or with aligned edges. */
  alignCorners?: boolean;
}

/** A class token and image patches as tokens, plus position embeddings. */
export class PatchEmbedding extends Module {
  readonly classToken: Parameter; // width elements
  readonly positions: Parameter; // [..., 1 + N, width]
  readonly weight: Parameter; // [width, 3, P, P], stored as [width, 3 P P] with padding
  readonly bias: Parameter | null; // [width]
  /** The patches along one side of the image. */
  readonly grid: number;
  private readonly pixels: PixelStatistics;

  constructor(scope: Scope, keys: PatchEmbeddingKeys, shape: PatchEmbeddingShape) {
    super();
    const { imageSize, patchSize, width, init, pixels = clipPixels } = shape;
    const { leading = [], alignCorners = false } = keys;
    this.grid = imageSize / patchSize;
    this.pixels = { mean: pixels.mean, std: pixels.std };
    const places = 1 + this.grid * this.grid;
    const tokenShape = leading.length > 0 ? [...leading, 1, width] : [width];
    this.classToken = scope.parameter(keys.classToken, tokenShape, { initial: init.token });
    this.positions = scope.parameter(keys.positions, [...leading, places, width], {
      initial: init.positions,
      resize: { kind: "grid", prefixTokens: 1, alignCorners },
    });
    this.weight = scope.parameter(keys.weight, [width, 3, patchSize, patchSize], {
      initial: init.patches,
      resize: { kind: "patches" },
      storedShape: [width, storedColumns(3 * patchSize * patchSize)],
      ...MATRIX,
    });
    this.bias = keys.bias === undefined ? null : scope.parameter(keys.bias, [width], { initial: zeros });
  }

  /** The number of patches of an image. */
  get patches(): number {
    return this.grid * this.grid;
  }

  /** images u8 [B, S, S, 3] or normalized f32 [B, 3, S, S], kept [B, K] i32 or all → [B, 1 + K, width] */
  forward(images: Tensor, kept: Operand | undefined, type: FloatDType): Tensor {
    const { weight, bias, pixels } = this;
    const patchSize = weight.shape.at(-1)!;
    const padding = weight.storedShape.at(-1)! - 3 * patchSize * patchSize;
    const rows = patchRows(images, { patchSize, kept, dtype: type, pixels, padding });
    const isSingle = type === "f32" && weight.dtype === "f32";
    const x = isSingle ? patchProjection(rows, weight, bias) : linear(rows, [weight], [bias]);
    return addPositions(x, this.classToken, this.positions, kept);
  }
}
