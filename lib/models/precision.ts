import { oneOf } from "../arguments";
import type { DeviceKind } from "../native";

/** The element type of a model's activations. Accumulation and normalization are f32 in both. */
export type Precision = "f32" | "bf16";

export const precisionArgument = oneOf("f32", "bf16");

/** bf16 on CUDA, where tensor cores compute several times as fast in it as in f32; f32 on the CPU. */
export function defaultPrecision(device: DeviceKind): Precision {
  return device === "cuda" ? "bf16" : "f32";
}
