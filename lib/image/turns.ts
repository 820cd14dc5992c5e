import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";

/** How long a turn of the event loop may be held by pieces of work. */
const TURN_MS = 4;

let latestTurn: Promise<void> = Promise.resolve();

/** A turn of the event loop that no other work has: together, many of them would hold it for long. */
function turnOfItsOwn(): Promise<void> {
  latestTurn = latestTurn.then(() => setImmediate());
  return latestTurn;
}

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
      await turnOfItsOwn();
      turnEnds = performance.now() + TURN_MS;
    }
    work(begin, Math.min(count, begin + slice));
  }
}
