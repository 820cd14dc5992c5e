import { constants } from "node:os";
import { performance } from "node:perf_hooks";
import type { ExitCode } from "../exit_code";

/** What ends a run gently: Ctrl-C, a scheduler's or container's stop, a terminal that closes. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The exit status that a shell reports for a process that a signal ended. */
function exitCodeFor(signal: NodeJS.Signals): ExitCode {
  return 128 + constants.signals[signal];
}

/** A terminal, a shell and npx may each pass on the same one. */
const SAME_SIGNAL_MS = 100;

/** Turns the first signal into a gentle stop, and ends the process at once by the second or where nothing can be stopped. */
export class StopSignals implements Disposable {
  /** The exit status by the first signal. */
  exitCode: ExitCode | undefined;
  #stop: (() => void) | undefined;
  #firstAt = 0;
  readonly #onSignal = (signal: NodeJS.Signals) => {
    const code = exitCodeFor(signal);
    if (this.exitCode === code && performance.now() - this.#firstAt < SAME_SIGNAL_MS) return;
    if (this.exitCode !== undefined || !this.#stop) return process.exit(code);
    this.exitCode = code;
    this.#firstAt = performance.now();
    this.#stop();
  };

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  /** From now on a signal calls `stop`; before, there is nothing to save. */
  onFirst(stop: () => void): void {
    this.#stop = stop;
  }

  [Symbol.dispose](): void {
    // After a signal the process is about to end, with the status of that signal whatever comes now.
    if (this.exitCode !== undefined) return;
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}
