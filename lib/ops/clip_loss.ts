import { apply, type Operand, type Tensor } from "../tensor";

export interface ClipLoss {
  /** [] f32 */
  loss: Tensor;
  /** [] f32: in-batch top-1 accuracy, image → text. */
  imageAccuracy: Tensor;
  /** [] f32: in-batch top-1 accuracy, text → image. */
  textAccuracy: Tensor;
}

/**
 * The symmetric contrastive loss (Radford et al. 2021, figure 3), without storing the B × B logits. Logits and softmax
 * are f32; bf16 features are multiplied on tensor cores directly.
 * image [B, E] and text [B, E] of unit length, both f32 or both bf16; logitScale [] f32, the logarithm of the scale
 */
export function clipLoss(image: Operand, text: Operand, logitScale: Operand): ClipLoss {
  const inputs = { image, text, logit_scale: logitScale };
  const outputs = apply("clip_loss", inputs, {}, (dloss, outputs) => {
    const { row_log_sum, column_log_sum, row_log_odds, column_log_odds } = outputs;
    const saved = { row_log_sum, column_log_sum, row_log_odds, column_log_odds };
    const backward = apply("clip_loss_backward", { dloss, ...inputs, ...saved });
    return { image: backward.dimage, text: backward.dtext, logit_scale: backward.dlogit_scale };
  });
  return {
    loss: outputs.loss,
    imageAccuracy: outputs.image_accuracy,
    textAccuracy: outputs.text_accuracy,
  };
}
