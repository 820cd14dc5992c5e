import { EvaClipError } from "../../errors";
import { siglipLoss } from "../../losses/siglip_loss";
import type { ObjectiveResult, ObjectiveStep } from "./objective";

/**
 * SigLIP's pairwise sigmoid loss (Zhai et al. 2023), with the model's logit scale and bias, which its configuration
 * initializes: `{ ...config, ...SIGLIP_LOGITS }` for the published values. Logits are f32: each stored copy takes
 * 4 B² bytes for B samples.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a model without a logit bias
 */
export function siglipObjective(step: ObjectiveStep): ObjectiveResult {
  const { logitScale, logitBias } = step.model;
  if (logitBias === null) {
    const message =
      "siglipObjective needs a model with a logit bias: give its configuration init_logit_bias, as SIGLIP_LOGITS does";
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { field: "init_logit_bias" });
  }
  const loss = siglipLoss(step.encodeImages(), step.encodeTexts(), logitScale, logitBias);
  return { loss, metrics: { logitBias } };
}
