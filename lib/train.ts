// eva-clip/train: a model's parameters, losses, optimizers and schedules, and the training run itself.
export { type ClipLoss, clipLoss } from "./losses/clip_loss";
export { siglipLoss } from "./losses/siglip_loss";
export { ClipModel, type ClipModelOptions } from "./models/clip_model";
export { AdamW } from "./optim/adamw";
export { Lamb, type LambOptions } from "./optim/lamb";
export { Optimizer, type OptimizerOptions, type UpdateReport, type UpdateStep } from "./optim/optimizer";
export {
  type GroupSettings,
  type ParameterRule,
  parameterRules,
  type Tower,
  type TowerSettings,
} from "./optim/parameter_groups";
export {
  type Schedule,
  type ScheduleKind,
  type ScheduleOptions,
  scheduleFactor,
  warmupCosine,
} from "./optim/schedule";
export { type TowerLock, type TowerLocks, unlockedParameters } from "./optim/tower_locks";
export {
  type BatchSource,
  type BatchStream,
  batchesByStep,
  batchesOf,
  type TrainingBatch,
} from "./train/batch_source";
export {
  type CheckpointContent,
  readCheckpoint,
  type TrainerState,
  writeCheckpoint,
} from "./train/checkpoint";
export { TrainingRun, type TrainOptions, type TrainResult, train } from "./train/train";
export type { PatchDropout, TrainConfig } from "./train/train_config";
export type {
  CheckpointEvent,
  EndEvent,
  EndReason,
  EvaluateEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  WarningEvent,
} from "./train/train_events";
export type { RecordImages } from "./train/training_step";
export type { RunSettings } from "./weights/checkpoint/trainer_state";
export { type AllocateOptions, allocateModel, initializeModel } from "./weights/initialize";
