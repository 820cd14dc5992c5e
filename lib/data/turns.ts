import { setImmediate } from "node:timers/promises";

/** Does `count` pieces of work in slices of `perTurn`, a slice per turn of the event loop, so that none is held long. */
export async function inTurns(
  count: number,
  perTurn: number,
  work: (begin: number, end: number) => void,
): Promise<void> {
  const slice = Math.max(1, Math.floor(perTurn));
  for (let begin = 0; begin < count; begin += slice) {
    await setImmediate();
    work(begin, Math.min(count, begin + slice));
  }
}
