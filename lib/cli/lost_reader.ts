import { closeSync, openSync } from "node:fs";
import { isatty } from "node:tty";

const STANDARD_FILES = [0, 1, 2];
let isInstalled = false;

/**
 * Keeps the process going when whoever reads its output goes away: a pipe's other end (EPIPE) or a terminal (EIO).
 * What is written after that is dropped.
 */
export function outliveReaders(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
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
