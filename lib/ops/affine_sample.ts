import { checkArgument, options, positiveInteger } from "../arguments";
import { anOperand, apply, type Operand, type Tensor } from "../tensor";

export interface AffineSampleOptions {
  /** [B, 2, 3] f32: maps output coordinates in -1 … 1 to input coordinates. */
  transform: Operand;
  /** [B, 3] f32 in 0 … 1 */
  background: Operand;
  /** [B, 3, 4] f32: the color matrix and offset. */
  color: Operand;
  /** Side length of the output in pixels. */
  size: number;
}

const sampleOptions = options({
  transform: anOperand,
  background: anOperand,
  color: anOperand,
  size: positiveInteger,
});

/**
 * Augments RGBA images in device memory: an affine map with bilinear sampling, a color transform, and compositing over a
 * background. u8 [B, H, W, 4] → u8 [B, size, size, 3]. No gradient.
 */
export function affineSample(images: Operand, given: AffineSampleOptions): Tensor {
  checkArgument("ops.affineSample: options", given, sampleOptions);
  const { size, ...inputs } = given;
  return apply("affine_sample", { images, ...inputs }, { size }).y;
}
