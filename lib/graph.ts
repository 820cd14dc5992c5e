// eva-clip/graph: record a computation over tensors, differentiate it, compile it for a device; layers to build models of.
export {
  type CompileOptions,
  compile,
  compileByShape,
  type Program,
  type ProgramInputs,
  type ProgramResults,
  type ShapedProgram,
  spec,
  type TensorSpec,
} from "./compile";
export { Device, type DeviceChoice, type DeviceOptions } from "./device";
export { grad } from "./grad";
export { type ArrayOf, HostTensor } from "./host_tensor";
export type { Attribute, DeviceInfo, DType, KernelTiming, NativeArray, ProgramStats } from "./native";
export { TokenEmbedding, type TokenEmbeddingShape } from "./nn/embedding";
export { initializeParameters } from "./nn/initialize_parameters";
export { LayerNorm, type Norm, RmsNorm } from "./nn/layer_norm";
export { Linear, type LinearShape } from "./nn/linear";
export { Module } from "./nn/module";
export * as ops from "./ops/all_ops";
export { type Initializer, Parameter } from "./parameter";
export {
  constant,
  type Fields,
  type GradientRule,
  type Operand,
  publicApply as apply,
  reshape,
  type Tensor,
} from "./tensor";
