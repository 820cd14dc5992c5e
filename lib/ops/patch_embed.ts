import { checkArgument, finiteNumber, listOf, options, positiveInteger, wholeNumber } from "../arguments";
import { anOperand, apply, type Operand, type Tensor } from "../tensor";
import { type FloatDType, floatDtype } from "./elementwise";

/** Mean and standard deviation of each color channel, for values in 0 … 1. */
export interface PixelStatistics {
  mean: readonly number[];
  std: readonly number[];
}

/** OpenAI CLIP's image statistics (Radford et al. 2021). */
export const clipPixels: PixelStatistics = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};

export interface PatchRowsOptions {
  patchSize: number;
  /** [B, K] i32: the patches to read, row-major over the grid. Default: all. */
  kept?: Operand | undefined;
  /** The dtype of the rows. */
  dtype?: FloatDType;
  /** Normalization of u8 images; f32 images must already be normalized. */
  pixels?: PixelStatistics;
  /** Zeros at the end of each row. Default 0. */
  padding?: number;
}

const colors = listOf(finiteNumber, "three numbers").length(3, { error: "three numbers" });
const patchRowsOptions = options({
  patchSize: positiveInteger,
  kept: anOperand.optional(),
  dtype: floatDtype.optional(),
  pixels: options({ mean: colors, std: colors }).optional(),
  padding: wholeNumber.optional(),
});

/**
 * The pixels of each kept patch as one row, in the element order of a convolution weight [W, 3, P, P].
 * images u8 [B, S, S, 3] or f32 [B, 3, S, S] → [B, K, 3 P P + padding]. No gradient.
 */
export function patchRows(images: Operand, given: PatchRowsOptions): Tensor {
  checkArgument("ops.patchRows: options", given, patchRowsOptions);
  const { patchSize, kept, dtype: type = "f32", pixels = clipPixels, padding = 0 } = given;
  return apply("patch_rows", { images, kept }, { patch_size: patchSize, ...pixels, type, padding }).y;
}

/**
 * x Wᵀ + b accumulated in double precision, for the first product of a tower, whose rounding errors every later layer
 * amplifies. x [..., K] f32, weight [N, K] f32, bias [N] f32 or null → [..., N] f32
 */
export function patchProjection(x: Operand, weight: Operand, bias: Operand | null = null): Tensor {
  const { y } = apply("patch_projection", { x, weight, bias }, {}, (dy) => {
    const { dweight, dbias } = apply("linear_weight_gradient", { dy, x });
    const { dx } = apply("linear_input_gradient", { dy, weight });
    return { x: dx, weight: dweight, bias: dbias };
  });
  return y;
}

/**
 * Prepends the class token to the patches and adds the position embedding of each token.
 * x [B, K, C], classToken C elements, positions [..., 1 + N, C], kept [B, K] i32 or all → [B, 1 + K, C]
 */
export function addPositions(x: Operand, classToken: Operand, positions: Operand, kept?: Operand): Tensor {
  const places = { class_token: classToken, positions, kept };
  const { y } = apply("add_positions", { x, ...places }, {}, (dy) => {
    const { dx, dclass_token, dpositions } = apply("add_positions_backward", { dy, ...places });
    return { x: dx, class_token: dclass_token, positions: dpositions };
  });
  return y;
}
