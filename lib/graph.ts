// eva-clip/graph: record a computation over tensors, differentiate it, compile it for a device; layers to build models of.
export { checkpoint } from "./checkpoint";
export {
  type CompileOptions,
  compile,
  type InputSpecs,
  type OutputTensors,
  type Program,
  type ProgramInputs,
  type ProgramResults,
  spec,
  type TensorSpec,
} from "./compile";
export { type CompileByShapeOptions, compileByShape, type ShapedProgram } from "./compile_by_shape";
export { Device, type DeviceChoice, type DeviceOptions } from "./device";
export { grad } from "./grad";
export { type ArrayOf, HostTensor } from "./host_tensor";
export {
  type ImageOptions,
  ImageTower,
  type ImageTowerOptions,
  type TowerOptions,
} from "./models/image_tower";
export type {
  AnyImageTower,
  ConfigReference,
  DerivedTensor,
  FieldEvidence,
  HasParameter,
  HuggingFaceTower,
  ImageTowerConfig,
  ImageTowerDescriptor,
  ImageTowerInference,
  ImageTowerLayout,
  OpenClipTower,
  ShapeReader,
} from "./models/image_tower_descriptor";
export { imageTowers, registerImageTower } from "./models/image_towers";
export type { NameRule } from "./models/name_rules";
export type { PackedCaptions, TextTower } from "./models/text_tower";
export type { Attribute, DeviceInfo, DType, KernelTiming, NativeArray, ProgramStats } from "./native";
export {
  type AttentionContext,
  type AttentionOutput,
  type AttentionShape,
  ClipAttention,
  type RowSelection,
  SelfAttention,
} from "./nn/attention";
export { Block, type BlockContext, type BlockParts } from "./nn/block";
export type { BlockInitialization, Initialization as TowerInitialization } from "./nn/initialization";
export { initializeParameters } from "./nn/initialize_parameters";
export { LayerNorm, type Norm, RmsNorm } from "./nn/layer_norm";
export { Linear, type LinearShape } from "./nn/linear";
export { Mlp, type MlpKeys, type MlpShape } from "./nn/mlp";
export { Module } from "./nn/module";
export { Scope, type ScopedParameter, type ScopePlace } from "./nn/scope";
export { PatchEmbedding, type PatchEmbeddingKeys, type PatchEmbeddingShape } from "./nn/patch_embedding";
export type { OpName, OpOutput } from "./op_outputs";
export * as ops from "./ops/all_ops";
export { type Initializer, Parameter, type ParameterOptions } from "./parameter";
export type { ParameterRole, ResizeRule, TowerLayer, TowerName } from "./parameter_role";
export type { StagedInputs } from "./staged_inputs";
export {
  constant,
  type Fields,
  type GradientRule,
  type Operand,
  publicApply as apply,
  reshape,
  type Tensor,
} from "./tensor";
