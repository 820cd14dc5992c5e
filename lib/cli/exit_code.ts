/** What the command's exit status says. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  noDevice: 3,
} as const;

/** One of EXIT, or 128 and the number of the signal that ended a run. */
export type ExitCode = number;

/** What a command's action reports its exit status to, where that is neither success nor an error. */
export type Finish = (code: ExitCode) => void;

/** Errors that mean the command was given wrong arguments. */
const USAGE_CODES = new Set([
  "ERR_EVACLIP_INVALID_ARGUMENT",
  "ERR_EVACLIP_UNKNOWN_MODEL",
  "ERR_EVACLIP_RUN_EXISTS",
]);

export function exitCodeOf(error: unknown): ExitCode {
  const { code } = error as { code?: string };
  if (code === "ERR_EVACLIP_NO_DEVICE") return EXIT.noDevice;
  return code !== undefined && USAGE_CODES.has(code) ? EXIT.usage : EXIT.failure;
}
