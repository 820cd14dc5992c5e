// eva-clip: models in use. Load or create one, embed images and captions, classify, evaluate.
export type {
  Classification,
  ClassifierOptions,
  ClassifyOptions,
  RankOptions,
} from "./clip/classification";
export type { Inputs } from "./clip/batching/encode_stream";
export { Classifier } from "./clip/classifier";
export type { Encoder, Rows } from "./clip/encoder";
export { EvaClip } from "./clip/eva_clip";
export type {
  CallOptions,
  CreateOptions,
  EmbeddingStream,
  EncodeOptions,
  LoadOptions,
  OpenOptions,
  SaveOptions,
  StreamOptions,
} from "./clip/eva_clip_options";
export type { MemoryInfo } from "./clip/memory_info";
export type { WrapOptions } from "./clip/open_model";
export {
  fillTemplates,
  OPENAI_IMAGENET_TEMPLATES,
  type PromptTemplates,
  SIMPLE_IMAGENET_TEMPLATES,
} from "./clip/templates";
export type { Vectors } from "./clip/vectors";
export { Device, type DeviceChoice, type DeviceOptions } from "./device";
export type { ErrorCode } from "./error_codes";
export { EvaClipError, isEvaClipError } from "./errors";
export type { Evaluated } from "./eval/evaluated";
export type { EvaluationOptions, Skips } from "./eval/evaluation";
export { evaluateRetrieval, type RecallScores, type RetrievalResult } from "./eval/retrieval";
export { evaluateZeroShot, type ZeroShotOptions, type ZeroShotResult } from "./eval/zero_shot";
export { decodeImage, type ImageInput, type RawImage } from "./image/decode";
export type { Interpolation } from "./image/resample";
export { preprocess } from "./image/prepare";
export { CLIP_PREPROCESSING, type Preprocessing } from "./image/preprocessing";
export { type ListDevicesOptions, type ListedDevice, listDevices } from "./list_devices";
export type { Logger } from "./logger";
export {
  type ClipConfig,
  type ClipConfigInput,
  parseClipConfig,
  type TextTowerConfig,
} from "./models/clip_config";
export { type KnownModel, knownModels, modelConfig } from "./models/known_models";
export type { PerTower } from "./models/model_cost";
export type { Precision } from "./models/precision";
export type { ModelName, PublishedAccuracy, PublishedModel } from "./models/published_models";
export type { DeviceInfo, DeviceKind, InstructionSet } from "./native";
export type { EvaTowerInput } from "./models/eva/eva_tower_config";
export type { DownloadProgress } from "./hub/repository";
export type { PublishedWeights } from "./models/published_weights";
export type { InitScheme } from "./nn/initialization";
