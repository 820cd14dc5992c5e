/** Exit statuses of the command. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  noDevice: 3,
} as const;

/** One of EXIT, or 128 plus the number of the signal that ended a run. */
export type ExitCode = number;

/** Receives the exit status of an action that does not throw; success by default. */
export type Finish = (code: ExitCode) => void;

/** Errors in the command's arguments. */
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
