import { isEvaClipError } from "../errors";
import type { ErrorCode } from "../error_codes";
import { HttpError } from "./http_error";

const RETRY_SECONDS = "1";

/** Errors of the library that a request can cause, and that tell nothing of the machine. */
const KNOWN: Partial<Record<ErrorCode, { status: number; code: string; headers?: Record<string, string> }>> =
  {
    ERR_EVACLIP_INVALID_ARGUMENT: { status: 400, code: "invalid_request" },
    ERR_EVACLIP_DATA: { status: 400, code: "invalid_image" },
    ERR_EVACLIP_QUEUE_FULL: { status: 429, code: "queue_full", headers: { "retry-after": RETRY_SECONDS } },
  };

/** Errors whose messages stay in the log. */
const HIDDEN: Partial<Record<ErrorCode, string>> = {
  ERR_EVACLIP_DISPOSED: "the service is shutting down",
  ERR_EVACLIP_OUT_OF_MEMORY: "the service is out of memory",
  ERR_EVACLIP_DEVICE_LOST: "the device of the model has failed",
};

/** The answer to any error. Of one that is not the client's fault, it tells only that it happened. */
export function httpErrorOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (isEvaClipError(error)) {
    const known = KNOWN[error.code];
    if (known) return new HttpError(known.status, error.message, { ...known, cause: error });
    const hidden = HIDDEN[error.code];
    if (hidden) return new HttpError(503, hidden, { code: "unavailable", cause: error });
  }
  return new HttpError(500, "the service failed to answer; its log has the reason", {
    code: "internal_error",
    cause: error,
  });
}
