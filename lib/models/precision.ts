import { oneOf } from "../arguments";

/** What a model computes in: the element type of its activations. Sums and normalizations are f32 in both. */
export type Precision = "f32" | "bf16";

export const precisionArgument = oneOf("f32", "bf16");
