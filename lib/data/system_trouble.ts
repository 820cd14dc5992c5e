import { setTimeout as delay } from "node:timers/promises";
import { EvaClipError } from "../errors";
import { isFaultOfFile } from "../io/file_error";
import { shownPath } from "../io/regular_file";

const OUT_OF_FILES = new Set(["EMFILE", "ENFILE"]);
const LONGEST_WAIT_MS = 20_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 200;

/** The system error in an error's chain of causes, unless it is a fault of the file itself. */
export function systemTrouble(error: unknown): NodeJS.ErrnoException | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (code !== undefined && syscall !== undefined) return isFaultOfFile(code) ? undefined : cause;
  }
  return undefined;
}

/** The `ERR_EVACLIP_IO` error for a system error while reading `name`; `details.cause` is Node's code. */
export function troubleError(name: string, trouble: NodeJS.ErrnoException): EvaClipError {
  const advice = OUT_OF_FILES.has(trouble.code!)
    ? "; the process has too many open files: raise `ulimit -n` or lower the number of workers"
    : "";
  return new EvaClipError(
    "ERR_EVACLIP_IO",
    `cannot read ${shownPath(name)}: ${shownPath(trouble.message)}${advice}`,
    { path: trouble.path ?? name, cause: trouble.code },
    { cause: trouble },
  );
}

/** Retries an attempt that fails because too many files are open, for up to `LONGEST_WAIT_MS`. */
export async function whenFilesAreFree<T>(attempt: () => Promise<T>): Promise<T> {
  const start = performance.now();
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await attempt();
    } catch (error) {
      const code = systemTrouble(error)?.code;
      const isWorthWaiting = code !== undefined && OUT_OF_FILES.has(code);
      if (!isWorthWaiting || performance.now() - start > LONGEST_WAIT_MS) throw error;
    }
    await delay(pause);
  }
}
