import type { DownloadProgress } from "../index";
import { bytes, say } from "./output";

const BAR = 24;
/** Smaller files are not worth a line. */
const SHOWN_BYTES = 1_000_000;
/** Time between two lines where the output is not a terminal, which cannot be redrawn. */
const LINE_MS = 10_000;
const DRAW_MS = 100;

/** Shows downloads on standard error: a bar that moves on a terminal, otherwise a line from time to time. */
export function downloadProgress(
  out: Pick<NodeJS.WriteStream, "isTTY" | "columns" | "write"> = process.stderr,
): (progress: DownloadProgress) => void {
  let current: { file: string; began: number; from: number; shown: number } | undefined;
  return ({ file, received, size }) => {
    if (size < SHOWN_BYTES) return;
    const now = Date.now();
    if (current?.file !== file) {
      if (received === size) return;
      current = { file, began: now, from: received, shown: 0 };
      if (!out.isTTY)
        say(`downloading ${file}, ${bytes(size)}${received > 0 ? `, from ${bytes(received)} on` : ""}`);
      if (!out.isTTY) current.shown = now;
    }
    const isEnd = received === size;
    if (!isEnd && now - current.shown < (out.isTTY ? DRAW_MS : LINE_MS)) return;
    current.shown = now;
    const seconds = Math.max((now - current.began) / 1000, 0.001);
    const rate = `${bytes((received - current.from) / seconds)}/s`;
    const state = `${Math.floor((100 * received) / size)} %  ${bytes(received)}/${bytes(size)}  ${rate}`;
    if (!out.isTTY) say(`${file}: ${state}`);
    else {
      const done = Math.round((BAR * received) / size);
      const bar = `[${"#".repeat(done)}${".".repeat(BAR - done)}]`;
      const line = `${file}  ${bar}  ${state}`.slice(0, (out.columns || 80) - 1);
      out.write(`\r${line}\x1b[K${isEnd ? "\n" : ""}`);
    }
    if (isEnd) current = undefined;
  };
}
