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
 * ERR_EVACLIP_DATA for one sample that cannot be used; the loader counts it by its reason and goes on. A data set of
 * one's own throws it from `Sample.read()`; any other ERR_EVACLIP_DATA thrown there counts as `unusable_sample`, and
 * every other error ends the loader.
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

/** The reason to leave a sample out, where an error is one; by the code, as it may come from another copy of the package. */
export function skipReasonOf(error: unknown): SkipReason | undefined {
  const { code, reason } = (error ?? {}) as Partial<SampleError>;
  if (code !== "ERR_EVACLIP_DATA") return undefined;
  return typeof reason === "string" ? reason : "unusable_sample";
}
