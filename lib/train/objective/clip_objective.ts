import { clipLoss } from "../../losses/clip_loss";
import { convert } from "../../ops/elementwise";
import type { ObjectiveResult, ObjectiveStep } from "./objective";

/** CLIP's symmetric contrastive loss, and the in-batch top-1 accuracies image → text and text → image. */
export function clipObjective(step: ObjectiveStep): ObjectiveResult {
  const { model } = step;
  const { loss, imageAccuracy, textAccuracy } = clipLoss(
    // bf16 features cost less precision here than bf16 towers have already cost.
    convert(step.encodeImages(), model.image.precision),
    convert(step.encodeTexts(), model.text.precision),
    model.logitScale,
  );
  return { loss, metrics: { imageAccuracy, textAccuracy } };
}
