import { readFileSync } from "node:fs";
import { constants, type PerformanceEntry, PerformanceObserver, performance } from "node:perf_hooks";
import { setImmediate, setTimeout } from "node:timers/promises";

/** Milliseconds that this thread has waited for a core, which depends on other processes. */
function queuedMs(): number {
  return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[1]) / 1e6;
}

/** Time that the host of a virtual machine has taken from its cores, in the kernel's ticks. */
function stolenTicks(): number {
  return Number(readFileSync("/proc/stat", "utf8").split("\n", 1)[0]!.split(/ +/)[8]);
}

const DOCUMENT = JSON.stringify(
  Array.from({ length: 200 }, (_, i) => ({ id: i, name: `row ${i}`, at: [i, i / 3] })),
);

/** Milliseconds of a fixed computation, without waiting for a core. */
function paceMs(): number {
  const queued = queuedMs();
  const begin = performance.now();
  const { length } = JSON.stringify(JSON.parse(DOCUMENT));
  const end = performance.now();
  return length > 0 ? end - begin - (queuedMs() - queued) : 0;
}

/** `paceMs` on a core of a Xeon (Sapphire Rapids) whose second hyperthread is idle. */
const USUAL_PACE_MS = 0.125;
const PACES = 5;

/** How many times as long as usual computations take, because others use the machine; 1 where they take less. */
function slowness(): number {
  const paces = Array.from({ length: PACES }, paceMs).sort((a, b) => a - b);
  return Math.max(1, paces[PACES >> 1]! / USUAL_PACE_MS);
}

/** Shorter turns are ignored. */
const NOTABLE_MS = 4;
/** Pause between runs: longer than a host is usually slow. */
const PAUSE_MS = 200;
/** At least this many runs, or as many as take this long. */
const RUNS = 5;
const RUNS_MS = 15_000;

/** Whether the garbage collector went through the whole heap, which holds what all tests before have left. */
function isOfWholeHeap(collection: PerformanceEntry): boolean {
  const { detail } = collection as PerformanceEntry & { detail: { kind: number } };
  return detail.kind !== constants.NODE_PERFORMANCE_GC_MINOR;
}

interface Turn {
  begin: number;
  /** Without waiting for a core. */
  milliseconds: number;
  slowness: number;
}

/** Milliseconds that a turn computes at the usual speed, without collections of the whole heap. */
function computed({ begin, milliseconds, slowness }: Turn, pauses: readonly PerformanceEntry[]): number {
  const inTurn = pauses.filter(({ startTime }) => startTime >= begin && startTime < begin + milliseconds);
  return (milliseconds - inTurn.reduce((sum, { duration }) => sum + duration, 0)) / slowness;
}

/**
 * The longest turn of the event loop while `work` runs, in milliseconds at the usual speed, without waiting for a core,
 * without collections of the whole heap, and without turns during which the host took a core; infinity if it did so most of
 * the time.
 */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let isDone = false;
  let stolenMs = 0;
  const notable: Turn[] = [];
  const pauses: PerformanceEntry[] = [];
  const observer = new PerformanceObserver((list) => pauses.push(...list.getEntries().filter(isOfWholeHeap)));
  observer.observe({ entryTypes: ["gc"] });
  const begin = performance.now();
  const watching = (async () => {
    let [queued, stolen] = [queuedMs(), stolenTicks()];
    while (!isDone) {
      // Only the turn is between the two clock readings: reading the run queue may wait, too.
      const turnBegin = performance.now();
      await setImmediate();
      const turn = performance.now() - turnBegin;
      const [queuedNow, stolenNow] = [queuedMs(), stolenTicks()];
      if (turn > NOTABLE_MS) {
        if (stolenNow > stolen) stolenMs += turn;
        else
          notable.push({ begin: turnBegin, milliseconds: turn - (queuedNow - queued), slowness: slowness() });
      }
      [queued, stolen] = [queuedMs(), stolenNow];
    }
  })();
  try {
    await work();
  } finally {
    isDone = true;
    await watching;
    // The observer is told in a later turn.
    await setTimeout(0);
    observer.disconnect();
  }
  const longest = Math.max(0, ...notable.map((turn) => computed(turn, pauses)));
  return 2 * stolenMs < performance.now() - begin ? longest : Number.POSITIVE_INFINITY;
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
