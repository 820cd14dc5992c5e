import { closeSync, openSync } from "node:fs";
import { isatty } from "node:tty";
import { EXIT } from "./exit_code";
import { say } from "./output";

const STANDARD_FILES = [0, 1, 2];
/** A pipe or a terminal whose other end is gone; a reader such as `head` has then seen enough. */
const LOST_READER = new Set(["EPIPE", "EIO"]);

/**
 * Keeps the process going when whoever reads its output goes away; what is written after that is dropped. Any other
 * failure to write a result, such as a full disk, makes the command fail.
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
    // Node restores the mode of its terminals as it exits, and aborts when one of them is gone.
    for (const file of terminals) if (!isatty(file)) replaceByNull(file);
  });
}

function replaceByNull(file: number): void {
  try {
    closeSync(file);
    openSync("/dev/null", "r+"); // takes the lowest free number, which is `file`
  } catch {
    // Without /dev/null there is nothing to be done.
  }
}
