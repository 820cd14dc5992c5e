import { Presets, SingleBar } from "cli-progress";
import { say } from "./output";

const LINE_MS = 1000;

/** Prints progress to standard error, once per second. */
export function countProgress(what: string): (done: number, total: number | undefined) => void {
  let shown = 0;
  return (done, total) => {
    if (Date.now() - shown < LINE_MS && done !== total) return;
    shown = Date.now();
    say(`${done}${total === undefined ? "" : `/${total}`} ${what}`);
  };
}

/** Shows a count on standard error: a progress bar in a terminal if the total is known, otherwise a line per second. */
export class CountBar {
  readonly #lines: (done: number, total: number | undefined) => void;
  #bar: SingleBar | undefined;

  constructor(private readonly what: string) {
    this.#lines = countProgress(what);
  }

  show(done: number, total: number | undefined): void {
    if (total === undefined || !process.stderr.isTTY) {
      this.#lines(done, total);
      return;
    }
    this.#bar ??= this.#start(total);
    this.#bar.update(done);
  }

  /** A line above the bar. */
  note(line: string): void {
    if (this.#bar) process.stderr.write("\r\u001b[K");
    say(line);
    this.#bar?.render();
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #start(total: number): SingleBar {
    const format = `{bar} {value}/{total} ${this.what}, {eta_formatted} left`;
    const bar = new SingleBar({ format, hideCursor: true, clearOnComplete: false }, Presets.shades_classic);
    bar.start(total, 0);
    return bar;
  }
}
