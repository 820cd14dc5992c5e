import { add, exp, multiply, scale, softplus } from "../ops/elementwise";
import { matmul } from "../ops/linear";
import { sum } from "../ops/reduce";
import { checkOperands, constant, type Operand, type Tensor } from "../tensor";

/**
 * The pairwise sigmoid loss (Zhai et al. 2023, SigLIP, algorithm 1): the mean over images i of
 * sum_j softplus(-z_ij (exp(logitScale) image_i · text_j + logitBias)), where z_ij is 1 for i = j and -1 otherwise.
 * image [B, E] f32 and text [B, E] f32 of unit length, logitScale [] f32, logitBias [] f32 → [] f32
 */
export function siglipLoss(image: Operand, text: Operand, logitScale: Operand, logitBias: Operand): Tensor {
  checkOperands("siglipLoss", { image, text, logitScale, logitBias });
  const [batch = 0] = image.shape;
  const cosines = matmul(image, text, { transposeB: true });
  const logits = add(multiply(cosines, exp(logitScale)), logitBias);
  const negatedSigns = new Float32Array(batch * batch).fill(1);
  for (let i = 0; i < batch; i++) negatedSigns[i * batch + i] = -1;
  const losses = softplus(multiply(logits, constant(negatedSigns, [batch, batch])));
  return scale(sum(losses), 1 / batch);
}
