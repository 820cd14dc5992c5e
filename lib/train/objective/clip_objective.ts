import { clipLoss } from "../../losses/clip_loss";
import { convert } from "../../ops/elementwise";
import type { ObjectiveResult, ObjectiveStep } from "./objective";

/** CLIP's symmetric contrastive loss, and the in-batch top-1 accuracies image → text and text → image. */
export function clipObjective(step: ObjectiveStep): ObjectiveResult {
  const { model } = step;
  const { loss, imageAccuracy, textAccuracy } = clipLoss(
    // Rounding the features to bf16 loses less precision than the bf16 towers have already lost.
    convert(step.encodeImages(), model.image.precision),
    convert(step.encodeTexts(), model.text.precision),
    model.logitScale,
  );
  return { loss, metrics: { imageAccuracy, textAccuracy } };
}
