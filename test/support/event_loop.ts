import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";

/** Milliseconds that this thread has waited for a core: other processes' doing. */
function queuedMs(): number {
  return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[1]) / 1e6;
}

export interface LoopWatch {
  /** Ends the watch. @returns The longest turn of the event loop in milliseconds, without waiting for a core. */
  stop(): Promise<number>;
}

/** Watches how long the event loop is held: by work on this thread, or by waiting for another. */
export function watchEventLoop(): LoopWatch {
  let isDone = false;
  let longest = 0;
  const watching = (async () => {
    let queued = queuedMs();
    while (!isDone) {
      // Between the two readings of the clock there is nothing but the turn: reading the queue may wait, too.
      const begin = performance.now();
      await setImmediate();
      const turn = performance.now() - begin;
      const queuedNow = queuedMs();
      longest = Math.max(longest, turn - (queuedNow - queued));
      queued = queuedNow;
    }
  })();
  return {
    stop: async () => {
      isDone = true;
      await watching;
      return longest;
    },
  };
}
