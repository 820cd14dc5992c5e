// NaN and infinity are errors: comparisons with NaN are always false, so NaN would get the best rank.
import { EvaClipError } from "../errors";

/** Tolerance of the squared length of a unit vector, above the rounding of bf16. */
const UNIT_TOLERANCE = 0.05;

/** `ERR_EVACLIP_NOT_FINITE`: a value is NaN or infinite. */
export function notFinite(message: string, details?: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_NOT_FINITE", message, details);
}

/** The index of the first NaN or infinite value, or -1. */
export function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/** The squared length in double precision, which f32 values cannot overflow. */
export function squaredLength(row: Float32Array): number {
  let squares = 0;
  for (let i = 0; i < row.length; i++) squares += row[i]! * row[i]!;
  return squares;
}

/** Names a sample by its index, for an error. */
export type Describe = (index: number) => string;

/**
 * Checks embeddings [N, columns] of samples from `first` on, raw and, where given, normalized.
 * @throws EvaClipError as `checkEmbedding`
 */
export function checkEmbeddings(
  features: Float32Array,
  unit: Float32Array | undefined,
  columns: number,
  first: number,
  describe: Describe,
): void {
  for (let at = 0; at < features.length; at += columns) {
    const end = at + columns;
    checkEmbedding(features.subarray(at, end), unit?.subarray(at, end), first + at / columns, describe);
  }
}

/**
 * Checks the embedding of one sample, raw and, where given, normalized.
 * @param describe only called for an error
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` when it has NaN or infinity, or cannot be normalized
 */
export function checkEmbedding(
  features: Float32Array,
  unit: Float32Array | undefined,
  index: number,
  describe: Describe,
): void {
  const squares = squaredLength(features);
  if (!Number.isFinite(squares)) {
    const value = features[firstNotFinite(features)];
    const message = `the embedding of ${describe(index)} holds ${value}: the input or the model's weights are not finite`;
    throw notFinite(message, { index, value });
  }
  if (unit === undefined || Math.abs(squaredLength(unit) - 1) < UNIT_TOLERANCE) return;
  const length = Math.sqrt(squares);
  const message = `the embedding of ${describe(index)} has length ${length} and cannot be brought to unit length`;
  throw notFinite(message, { index, length });
}
