import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";

/** How long a turn of the event loop may be held by pieces of work. */
const TURN_MS = 4;

/** Does `count` pieces of work in slices of `perSlice`, and lets the event loop turn whenever some milliseconds are over. */
export async function inTurns(
  count: number,
  perSlice: number,
  work: (begin: number, end: number) => void,
): Promise<void> {
  const slice = Math.max(1, Math.floor(perSlice));
  let turnEnds = 0;
  for (let begin = 0; begin < count; begin += slice) {
    if (performance.now() >= turnEnds) {
      await setImmediate();
      turnEnds = performance.now() + TURN_MS;
    }
    work(begin, Math.min(count, begin + slice));
  }
}
