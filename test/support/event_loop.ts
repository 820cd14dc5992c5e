import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";

/** Milliseconds that this thread has waited for a core: other processes' doing. */
function queuedMs(): number {
  return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[1]) / 1e6;
}

/** The longest turn of the event loop while `work` runs, in milliseconds, without waiting for a core. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
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
  try {
    await work();
  } finally {
    isDone = true;
    await watching;
  }
  return longest;
}

/**
 * How long `work` holds the event loop: by work on this thread, or by waiting for another. What the code holds it holds
 * every time; what the machine takes (a host's other guests, a first compilation, threads of the garbage collector that
 * wait for a core) it does not take every time, so the shortest of up to five runs counts.
 * @returns Milliseconds, of the first run below `limitMs` or else of the best one.
 */
export async function eventLoopHeldMs(limitMs: number, work: () => Promise<unknown>): Promise<number> {
  let held = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5 && held >= limitMs; run++) held = Math.min(held, await longestTurn(work));
  return held;
}
