import { fromBfloat16, toBfloat16, toFloat16 } from "../io/half_precision";

/** The types that weights are written in. */
export type WeightType = "f32" | "bf16" | "f16";

/** Their names in files. */
export const STORED_TYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

/** Values of a parameter, f32 or the patterns of bf16, as the type that they are written in. */
export async function toWeightType(
  values: Float32Array | Uint16Array,
  type: WeightType,
): Promise<Float32Array | Uint16Array> {
  const isSingle = values instanceof Float32Array;
  if (type === (isSingle ? "f32" : "bf16")) return values;
  const floats = isSingle ? values : await fromBfloat16(values);
  if (type === "f32") return floats;
  return type === "bf16" ? toBfloat16(floats) : toFloat16(floats);
}
