import { EvaClipError } from "./errors";

/** Why a sample cannot be used. */
export type SkipReason =
  | "missing_file"
  | "unreadable_file"
  | "undecodable_image"
  | "missing_image"
  | "missing_caption"
  | "empty_caption"
  | "not_utf8"
  | "damaged_shard"
  | "unusable_sample";

/**
 * `ERR_EVACLIP_DATA` for a sample that cannot be used: thrown by `Sample.read()`, it makes the loader skip the sample and
 * count it by its reason. Another `ERR_EVACLIP_DATA` thrown there counts as `unusable_sample`; any other error ends the
 * loader.
 */
export class SampleError extends EvaClipError {
  constructor(
    readonly reason: SkipReason,
    message: string,
    details: Record<string, unknown> = {},
    cause?: unknown,
  ) {
    super("ERR_EVACLIP_DATA", message, { ...details, reason });
    this.cause = cause;
  }
}

/** The reason to skip a sample, if the error is one; by its code, as it may come from another copy of the package. */
export function skipReasonOf(error: unknown): SkipReason | undefined {
  const { code, reason } = (error ?? {}) as Partial<SampleError>;
  if (code !== "ERR_EVACLIP_DATA") return undefined;
  return typeof reason === "string" ? reason : "unusable_sample";
}
