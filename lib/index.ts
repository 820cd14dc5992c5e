// eva-clip: models in use. Load or create one, embed images and captions, classify, evaluate.
export type { Classification, ClassifyOptions } from "./clip/classification";
export type { Encoder } from "./clip/encoder";
export { EvaClip } from "./clip/eva_clip";
export type {
  CallOptions,
  CreateOptions,
  EncodeOptions,
  LoadOptions,
  OpenOptions,
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
export { EvaClipError } from "./errors";
export type { EvaluationOptions } from "./eval/evaluation";
export { evaluateRetrieval, type RecallScores, type RetrievalResult } from "./eval/retrieval";
export { evaluateZeroShot, type ZeroShotOptions, type ZeroShotResult } from "./eval/zero_shot";
export { decodeImage, type ImageInput, type RawImage } from "./image/decode";
export { preprocess } from "./image/prepare";
export { CLIP_PREPROCESSING, type Preprocessing } from "./image/preprocessing";
export { type ClipConfig, type ClipConfigInput, parseClipConfig } from "./models/clip_config";
export { type KnownModel, knownModels, modelConfig } from "./models/known_models";
export type { PerTower } from "./models/model_cost";
export type { Precision } from "./models/precision";
export type { ModelName, PublishedAccuracy } from "./models/published_models";
export type { DeviceInfo } from "./native";
