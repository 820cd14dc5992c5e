import type { ErrorCode } from "./error_codes";

/** Most characters of a message: one that repeats a long input would only fill logs. */
const LONGEST_MESSAGE = 2000;

function cut(message: string): string {
  if (message.length <= LONGEST_MESSAGE) return message;
  return `${message.slice(0, LONGEST_MESSAGE)}… (${message.length} characters)`;
}

/** Every error that this package throws: a stable `code` to branch on, a message for people, and details as data. */
export class EvaClipError extends Error {
  override readonly name: string = "EvaClipError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details?: Record<string, unknown>,
    options?: ErrorOptions,
  ) {
    super(cut(message), options);
  }
}

/**
 * Whether `error` is an EvaClipError, and of this code where one is given. It looks at the code alone, so an error of
 * another realm or another installed copy of the package counts as well.
 */
export function isEvaClipError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
): error is EvaClipError & { readonly code: Code } {
  if (typeof error !== "object" || error === null) return false;
  const found = codeOf(error);
  return (
    typeof found === "string" && (code === undefined ? found.startsWith("ERR_EVACLIP_") : found === code)
  );
}

/** The code of a thrown object; undefined if reading it throws, as for a revoked Proxy. */
function codeOf(error: object): unknown {
  try {
    return (error as { readonly code?: unknown }).code;
  } catch {
    return undefined;
  }
}
