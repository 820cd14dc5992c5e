import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setImmediate, setTimeout } from "node:timers/promises";

/** Milliseconds that this thread has waited for a core: other processes' doing. */
function queuedMs(): number {
  return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[1]) / 1e6;
}

/** Milliseconds that a fixed piece of arithmetic takes, without waiting for a core. */
function paceMs(): number {
  const queued = queuedMs();
  const begin = performance.now();
  let sum = 0;
  for (let i = 0; i < 100_000; i++) sum = (5 * sum + i) | 0;
  const end = performance.now();
  return sum === 1 ? 0 : end - begin - (queuedMs() - queued); // what is not used is not computed
}

/** The median of a few. */
function usualPaceMs(): number {
  const paces = Array.from({ length: 31 }, paceMs);
  return paces.sort((a, b) => a - b)[15]!;
}

/** A host that lends its cores elsewhere is slow for a while: this many times as long as usual says nothing of a turn. */
const SLOW = 1.5;
/** Shorter turns than this are not looked at. */
const NOTABLE_MS = 4;
/** Between runs: longer than a host is slow at a time. */
const PAUSE_MS = 200;
/** As many runs as there are at least, or as take this long. */
const RUNS = 5;
const RUNS_MS = 5000;

/**
 * The longest turn of the event loop while `work` runs, in milliseconds, without waiting for a core, of those that a slow
 * moment of the host has no part in; infinity where it has part in most of the time.
 */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let isDone = false;
  let [longest, slowMs] = [0, 0];
  const usual = usualPaceMs();
  const begin = performance.now();
  const watching = (async () => {
    let queued = queuedMs();
    while (!isDone) {
      // Between the two readings of the clock there is nothing but the turn: reading the queue may wait, too.
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
 * How long `work` holds the event loop: by work on this thread, or by waiting for another. What the code holds it holds
 * every time; what the machine takes (a first compilation, threads of the garbage collector that wait for a
 * core) it does not take every time, so the shortest run counts, of five or of some seconds.
 * @returns Milliseconds, of the first run below `limitMs` or else of the best one.
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
