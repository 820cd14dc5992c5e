import { closeSync, openSync } from "node:fs";
import { isatty } from "node:tty";
import { EXIT } from "./exit_code";
import { say } from "./output";

const STANDARD_FILES = [0, 1, 2];
/** The other end of a pipe or a terminal is closed, as by `head` once it has its lines. */
const LOST_READER = new Set(["EPIPE", "EIO"]);

/**
 * Keeps the process running when the reader of its output goes away; later output is dropped. Any other failure to write
 * a result, such as a full disk, makes the command fail.
 */
export function outliveReaders(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (LOST_READER.has(error.code ?? "")) return;
    process.exitCode = EXIT.failure;
    say(`error: cannot write to standard output: ${error.message}`);
  });
  process.stderr.on("error", () => undefined);
  const terminals = STANDARD_FILES.filter((file) => isatty(file));
  process.on("exit", () => {
    // On exit Node restores terminal modes, and aborts if a terminal no longer exists.
    for (const file of terminals) if (!isatty(file)) replaceByNull(file);
  });
}

function replaceByNull(file: number): void {
  try {
    closeSync(file);
    openSync("/dev/null", "r+"); // takes the lowest free number, which is `file`
  } catch {
    // Nothing can be done without /dev/null.
  }
}
