import { EvaClipError } from "../errors";

/** Why a sample cannot be used. */
export type SkipReason =
  | "missing_file"
  | "unreadable_file"
  | "undecodable_image"
  | "missing_image"
  | "missing_caption"
  | "empty_caption"
  | "damaged_shard";

/** ERR_EVACLIP_DATA for one sample that cannot be used; the loader counts it by its reason and goes on. */
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
