/** The dtypes that weights are written in. */
export type WeightDType = "f32" | "bf16" | "f16";

/** Their names in safetensors. */
export const STORED_DTYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;
