// The public names, nothing else.
export type { ConfigFields } from "./weights/config/config_fields";
export { type InferredConfig, inferConfig } from "./weights/config/infer_config";
export type { LayoutName, StoredLayout } from "./weights/layouts/layout";
export { layoutNames } from "./weights/layouts/all_layouts";
export type { LoadWeightsOptions } from "./weights/load_plan";
export type { LoadReport, Origin, ParameterOrigin } from "./weights/load_report";
export { loadWeights } from "./weights/load_weights";
export { detectLayout } from "./weights/layouts/detect_layout";
export { type ConfigSource, type ConfigStatement, resolveConfig } from "./weights/config/resolve_config";
export type { WeightDType as WeightType } from "./weights/weight_dtype";
export { type WriteWeightsOptions, writeWeights } from "./weights/write_weights";
export {
  type CompileOptions,
  compile,
  compileByShape,
  type Program,
  spec,
  type TensorSpec,
} from "./compile";
export type { Batch, BatchSample } from "./data/loader/batch";
export { centerCrop, type RandomCropOptions, randomResizedCrop } from "./image/crop";
export type {
  Dataset,
  EpochRequest,
  IndexedSample,
  IndexedSource,
  Json,
  Sample,
  SampleContent,
} from "./data/dataset";
export { decodeImage, type ImageInput, type RawImage } from "./image/decode";
export { type FolderDataset, openClassFolder, openImageFolder } from "./data/sources/image_folder";
export { indexedDataset } from "./data/sources/indexed_dataset";
export { createLoader, type Loader } from "./data/loader/loader";
export type { LoaderCursor, SkipCounts } from "./data/loader/loader_cursor";
export type { ImageTransform, LoaderOptions, Skip } from "./data/loader/loader_options";
export { type ManifestOptions, openManifest } from "./data/sources/manifest";
export { type PackedText, packPadded, packText } from "./text/pack_text";
export { preprocess } from "./image/prepare";
export { CounterRandom } from "./random";
export { SampleError, type SkipReason } from "./sample_error";
export { ClipTokenizer, type Tokenizer, tokenize } from "./text/tokenizer";
export { openWebDataset, type WebDatasetOptions } from "./data/sources/webdataset/webdataset";
export { Device, type DeviceKind, type DeviceOptions } from "./device";
export { EvaClipError } from "./errors";
export type { Encoder } from "./clip/encoder";
export type { EvaluationOptions } from "./eval/evaluation";
export { evaluateRetrieval, type RecallScores, type RetrievalResult } from "./eval/retrieval";
export {
  fillTemplates,
  OPENAI_IMAGENET_TEMPLATES,
  type PromptTemplates,
  SIMPLE_IMAGENET_TEMPLATES,
} from "./clip/templates";
export { evaluateZeroShot, type ZeroShotOptions, type ZeroShotResult } from "./eval/zero_shot";
export { grad } from "./grad";
export { HostTensor } from "./host_tensor";
export { type ClipLoss, clipLoss } from "./losses/clip_loss";
export { siglipLoss } from "./losses/siglip_loss";
export { type ClipConfig, type ClipConfigInput, parseClipConfig } from "./models/clip_config";
export { ClipModel, type ClipModelOptions } from "./models/clip_model";
export { type KnownModel, knownModels, modelConfig } from "./models/known_models";
export type { PerTower } from "./models/model_cost";
export type { Precision } from "./models/precision";
export { CLIP_PREPROCESSING, type Preprocessing } from "./image/preprocessing";
export type { ModelName, PublishedAccuracy } from "./models/published_models";
export type { DeviceInfo, DType, KernelTiming, ProgramStats } from "./native";
export { initializeParameters } from "./nn/initialize_parameters";
export * as ops from "./ops/all_ops";
export { AdamW } from "./optim/adamw";
export { Lamb, type LambOptions } from "./optim/lamb";
export { Optimizer, type OptimizerOptions } from "./optim/optimizer";
export {
  type GroupSettings,
  type ParameterRule,
  parameterRules,
  type TowerSettings,
} from "./optim/parameter_groups";
export { type Schedule, scheduleFactor, warmupCosine } from "./optim/schedule";
export { type TowerLock, type TowerLocks, unlockedParameters } from "./optim/tower_locks";
export { type Initializer, Parameter } from "./parameter";
export type { Classification, ClassifyOptions } from "./clip/classification";
export { EvaClip, type MemoryInfo } from "./clip/eva_clip";
export type {
  CallOptions,
  CreateOptions,
  EncodeOptions,
  LoadOptions,
} from "./clip/eva_clip_options";
export { constant, type Operand, publicApply as apply, reshape, type Tensor } from "./tensor";
export {
  type BatchSource,
  type BatchStream,
  batchesByStep,
  batchesOf,
  type TrainingBatch,
} from "./train/batch_source";
export { readCheckpoint, type TrainerState, writeCheckpoint } from "./train/checkpoint";
export { allocateModel, initializeModel } from "./weights/initialize";
export {
  type Initialization,
  type InitializationSource,
  loadPretrained,
  type ParameterStart,
  type Pretrained,
  type PretrainedWeights,
} from "./weights/pretrained";
export { TOWER_SKIP_LIST } from "./weights/tower_skip_list";
export { TrainingRun, type TrainOptions, type TrainResult, train } from "./train/train";
export type { PatchDropout, TrainConfig } from "./train/train_config";
export type { TrainEvent } from "./train/train_events";
