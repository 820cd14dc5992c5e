// eva-clip/train: a model's parameters, losses, optimizers and schedules, and the training run itself.
export { type ClipLoss, clipLoss } from "./losses/clip_loss";
export { siglipLoss } from "./losses/siglip_loss";
export { ClipModel, type ClipModelOptions, SIGLIP_LOGITS } from "./models/clip_model";
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
  type BatchAt,
  type BatchSource,
  batchesByStep,
  batchesOf,
  type TrainingBatch,
} from "./train/batch_source";
export {
  type CheckpointContent,
  type ParameterGroups,
  readCheckpoint,
  type TrainerState,
  writeCheckpoint,
} from "./train/checkpoint";
export type { RunSchedule, SchedulePerTower, TrainSchedule } from "./train/learning_rates";
export { type AfterUpdate, clampLogitScale, type RecordedUpdate } from "./train/objective/after_update";
export { clipObjective } from "./train/objective/clip_objective";
export {
  type MovingAverage,
  type MovingAverageOptions,
  movingAverage,
} from "./train/objective/moving_average";
export type {
  Objective,
  ObjectiveResult,
  ObjectiveStep,
  RecordedMetrics,
  RecordImages,
} from "./train/objective/objective";
export { siglipObjective } from "./train/objective/siglip_objective";
export { RecipeRun, trainRecipe } from "./train/recipe/recipe";
export type { RecipeEvaluation, RecipeOptions, RecipeTower } from "./train/recipe/recipe_options";
export { TrainingRun, type TrainOptions, type TrainResult, train } from "./train/train";
export type { PatchDropout, TrainConfig } from "./train/train_config";
export type {
  CheckpointEvent,
  EndEvent,
  EndReason,
  EvaluateEvent,
  LayerReport,
  LayersEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  WarningEvent,
} from "./train/train_events";
export type { RunSettings } from "./weights/checkpoint/trainer_state";
export { type AllocateOptions, allocateModel, initializeModel } from "./weights/initialize";
