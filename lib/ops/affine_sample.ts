import { checkArgument, options, positiveInteger } from "../arguments";
import { anOperand, apply, type Operand, type Tensor } from "../tensor";

export interface AffineSampleOptions {
  /** [B, 2, 3] f32: maps an output place in -1 … 1 to the place it reads. */
  transform: Operand;
  /** [B, 3] f32 in 0 … 1 */
  background: Operand;
  /** [B, 3, 4] f32: the color matrix and offset. */
  colour: Operand;
  /** The side of the output. */
  size: number;
}

const sampleOptions = options({
  transform: anOperand,
  background: anOperand,
  colour: anOperand,
  size: positiveInteger,
});

/**
 * Draws RGBA images through affine maps with bilinear sampling, maps their colors and lays them on a
 * background: augmentation of images that stay in memory. u8 [B, H, W, 4] → u8 [B, size, size, 3]. No gradient.
 */
export function affineSample(images: Operand, given: AffineSampleOptions): Tensor {
  checkArgument("ops.affineSample: options", given, sampleOptions);
  const { size, ...inputs } = given;
  return apply("affine_sample", { images, ...inputs }, { size }).y;
}
