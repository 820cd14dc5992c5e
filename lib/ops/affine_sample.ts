import { apply, type Operand, type Tensor } from "../tensor";

export interface AffineSampleOptions {
  /** [B, 2, 3] f32: maps an output place in -1 … 1 to the place it reads. */
  transform: Operand;
  /** [B, 3] f32 in 0 … 1 */
  background: Operand;
  /** [B, 3, 4] f32: the colour matrix and offset. */
  colour: Operand;
  /** The side of the output. */
  size: number;
}

/**
 * Draws RGBA images through affine maps with bilinear sampling, maps their colours and lays them on a
 * background: augmentation of images that stay in memory. u8 [B, H, W, 4] → u8 [B, size, size, 3]. No gradient.
 */
export function affineSample(images: Operand, options: AffineSampleOptions): Tensor {
  const { size, ...inputs } = options;
  return apply("affine_sample", { images, ...inputs }, { size }).y!;
}
