import { performance } from "node:perf_hooks";
import { setImmediate as onNextTurn } from "node:timers";
import { setImmediate } from "node:timers/promises";

/** Maximum time that slices of work may block the event loop. */
const TURN_MS = 4;

/** When the work that all callers do in the present turn began. */
let sharedSince: number | undefined;

/** Whether the present turn has time left for work of any caller. Many short ones would otherwise wait for a turn each. */
function hasTime(): boolean {
  const now = performance.now();
  if (sharedSince === undefined) {
    sharedSince = now;
    onNextTurn(() => {
      sharedSince = undefined;
    });
  }
  return now - sharedSince < TURN_MS;
}

/** Begins `work` in a turn that has time left: now, or after other events. For what many callers may do at once. */
export async function inTurn<T>(work: () => T): Promise<Awaited<T>> {
  while (!hasTime()) await setImmediate();
  return await work();
}

/** Does `count` units of work in slices of `perSlice`; the event loop turns every few milliseconds. */
export async function inTurns(
  count: number,
  perSlice: number,
  work: (begin: number, end: number) => void,
): Promise<void> {
  const slice = Math.max(1, Math.floor(perSlice));
  for (let begin = 0; begin < count; begin += slice) {
    await inTurn(() => work(begin, Math.min(count, begin + slice)));
  }
}
