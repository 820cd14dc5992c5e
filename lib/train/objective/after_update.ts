import type { ClipModel } from "../../models/clip_model";
import type { Optimizer } from "../../optim/optimizer";
import type { Tensor } from "../../tensor";
import type { RecordedMetrics } from "./objective";

/** An update that has just been recorded. */
export interface RecordedUpdate {
  readonly model: ClipModel;
  readonly optimizer: Optimizer;
  /** [] i32: 1 for the first update. */
  readonly step: Tensor;
  /** [] f32: the norm of all gradients before clipping. When it is not finite, the update changes nothing. */
  readonly gradientNorm: Tensor;
}

/** Records what follows an update, such as a clamp, in the graph of the step. */
// biome-ignore lint/suspicious/noConfusingVoidType: functions that return nothing are accepted
export type AfterUpdate = (update: RecordedUpdate) => RecordedMetrics | void;

/** Keeps the logit scale between 1 and 100, as CLIP's training does after every update. The default of `afterUpdate`. */
export function clampLogitScale({ model }: Pick<RecordedUpdate, "model">): void {
  model.clampLogitScale();
}
