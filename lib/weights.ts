// eva-clip/weights: opens weight files, identifies their model, loads and writes them.
export type { WeightsChoice } from "./io/moving_average";
export type { DownloadProgress, HubOptions } from "./hub/repository";
export { readFloat32, type StoredDtype, type StoredTensor, type TensorSource } from "./io/tensor_source";
export type { TensorPiece } from "./io/tensor_view";
export type { ConfigFields } from "./weights/config/config_fields";
export { type InferredConfig, inferConfig } from "./weights/config/infer_config";
export { type ConfigSource, type ConfigStatement, resolveConfig } from "./weights/config/resolve_config";
export type { StoredShapes } from "./weights/config/shape_facts";
export { layoutNames } from "./weights/layouts/all_layouts";
export { detectLayout } from "./weights/layouts/detect_layout";
export type { LayoutName, StoredLayout } from "./weights/layouts/layout";
export type { LoadWeightsOptions } from "./weights/load_plan";
export type { LoadReport, Origin, ParameterOrigin } from "./weights/load_report";
export { loadWeights } from "./weights/load_weights";
export type { LocateOptions } from "./weights/locate_weights";
export { type OpenWeightsOptions, openWeights } from "./weights/open_weights";
export {
  type Initialization,
  type InitializationSource,
  loadPretrained,
  type ParameterStart,
  type Pretrained,
  type PretrainedWeights,
} from "./weights/pretrained";
export { TOWER_SKIP_LIST } from "./weights/tower_skip_list";
export type { WeightDType } from "./weights/weight_dtype";
export { type WriteWeightsOptions, writeWeights } from "./weights/write_weights";
