import { oneOf } from "../arguments";
import type { DeviceKind } from "../native";

/** What a model computes in: the element type of its activations. Sums and normalizations are f32 in both. */
export type Precision = "f32" | "bf16";

export const precisionArgument = oneOf("f32", "bf16");

/** bf16 on CUDA, where tensor cores compute several times as fast in it as in f32; f32 on the CPU. */
export function defaultPrecision(device: DeviceKind): Precision {
  return device === "cuda" ? "bf16" : "f32";
}
