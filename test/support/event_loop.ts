import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setImmediate, setTimeout } from "node:timers/promises";

/** Milliseconds that this thread has waited for a core, which depends on other processes. */
function queuedMs(): number {
  return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[1]) / 1e6;
}

/** Milliseconds of a fixed computation, without waiting for a core. */
function paceMs(): number {
  const queued = queuedMs();
  const begin = performance.now();
  let sum = 0;
  for (let i = 0; i < 100_000; i++) sum = (5 * sum + i) | 0;
  const end = performance.now();
  return sum === 1 ? 0 : end - begin - (queuedMs() - queued); // uses the sum, or it would be optimized away
}

/** The median. */
function usualPaceMs(): number {
  const paces = Array.from({ length: 31 }, paceMs);
  return paces.sort((a, b) => a - b)[15]!;
}

/** If the fixed computation takes this many times as long as usual, the host is slow and the turn is not counted. */
const SLOW = 1.5;
/** Shorter turns are ignored. */
const NOTABLE_MS = 4;
/** Pause between runs: longer than a host is usually slow. */
const PAUSE_MS = 200;
/** At least this many runs, or as many as take this long. */
const RUNS = 5;
const RUNS_MS = 5000;

/**
 * The longest turn of the event loop while `work` runs, in milliseconds, without waiting for a core and without turns during
 * which the host was slow; infinity if it was slow most of the time.
 */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let isDone = false;
  let [longest, slowMs] = [0, 0];
  const usual = usualPaceMs();
  const begin = performance.now();
  const watching = (async () => {
    let queued = queuedMs();
    while (!isDone) {
      // Only the turn is between the two clock readings: reading the run queue may wait, too.
      const turnBegin = performance.now();
      await setImmediate();
      const turn = performance.now() - turnBegin;
      const isSlow = turn > NOTABLE_MS && paceMs() > SLOW * usual;
      const queuedNow = queuedMs();
      if (isSlow) slowMs += turn;
      else longest = Math.max(longest, turn - (queuedNow - queued));
      queued = queuedNow;
    }
  })();
  try {
    await work();
  } finally {
    isDone = true;
    await watching;
  }
  return 2 * slowMs < performance.now() - begin ? longest : Number.POSITIVE_INFINITY;
}

/**
 * How long `work` blocks the event loop, by computing on this thread or by waiting for another. The code blocks it in every
 * run, the machine (a first compilation, garbage collector threads that wait for a core) only in some; so the shortest run
 * counts, of five or of several seconds.
 * @returns milliseconds of the first run below `limitMs`, otherwise of the best one
 */
export async function eventLoopHeldMs(limitMs: number, work: () => Promise<unknown>): Promise<number> {
  let held = Number.POSITIVE_INFINITY;
  const begin = performance.now();
  for (let run = 0; held >= limitMs && (run < RUNS || performance.now() - begin < RUNS_MS); run++) {
    if (run > 0) await setTimeout(PAUSE_MS);
    held = Math.min(held, await longestTurn(work));
  }
  return held;
}
