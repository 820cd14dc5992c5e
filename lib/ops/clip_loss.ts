import { apply, type Operand, type Tensor } from "../tensor";

export interface ClipLoss {
  /** [] f32 */
  loss: Tensor;
  /** [] f32: the share of images whose own text scores highest. */
  imageAccuracy: Tensor;
  /** [] f32: the share of texts whose own image scores highest. */
  textAccuracy: Tensor;
}

/**
 * The symmetric contrastive loss (Radford et al. 2021, figure 3), without the B × B logits in memory.
 * image [B, E] f32 and text [B, E] f32 of unit length, logitScale [] f32, the logarithm of the scale
 */
export function clipLoss(image: Operand, text: Operand, logitScale: Operand): ClipLoss {
  const inputs = { image, text, logit_scale: logitScale };
  const outputs = apply("clip_loss", inputs, {}, (dloss, { row_log_sum, column_log_sum }) => {
    const backward = apply("clip_loss_backward", { dloss, ...inputs, row_log_sum, column_log_sum });
    return { image: backward.dimage, text: backward.dtext, logit_scale: backward.dlogit_scale };
  });
  return {
    loss: outputs.loss!,
    imageAccuracy: outputs.image_accuracy!,
    textAccuracy: outputs.text_accuracy!,
  };
}
