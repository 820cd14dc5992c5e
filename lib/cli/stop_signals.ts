import { constants } from "node:os";
import { performance } from "node:perf_hooks";
import type { ExitCode } from "./exit_code";

/** Signals of Ctrl-C, of schedulers and containers, and of a terminal that closes. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The exit status that shells report for a process ended by a signal. */
function exitCodeFor(signal: NodeJS.Signals): ExitCode {
  return 128 + constants.signals[signal];
}

/** The terminal, a shell and npx may each forward the same signal. */
const SAME_SIGNAL_MS = 100;

/** Turns the first signal into a graceful stop; a second one, or one before there is a run, ends the process at once. */
export class StopSignals implements Disposable {
  /** The exit status for the first signal. */
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

  /** A first signal from here on calls `stop`. */
  onFirst(stop: () => void): void {
    this.#stop = stop;
  }

  [Symbol.dispose](): void {
    // After a signal, the process ends with that signal's status, so later signals stay handled.
    if (this.exitCode !== undefined) return;
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}
