import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";

/** Maximum time between two turns of the event loop. */
const TURN_MS = 8;

/**
 * Applies `transform` to a stream with up to `concurrency` concurrent calls and yields the results in the order of the
 * stream. Stopping early waits for the pending calls and closes the source.
 */
export async function* mapInOrder<T, R>(
  source: AsyncIterable<T>,
  concurrency: number,
  transform: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  let turned = performance.now();
  try {
    for await (const item of source) {
      const result = transform(item);
      // Awaited later, in order; until then a rejection must not count as unhandled.
      result.catch(() => undefined);
      underWay.push(result);
      if (underWay.length >= concurrency) yield await underWay.shift()!;
      if (performance.now() - turned > TURN_MS) {
        await setImmediate();
        turned = performance.now();
      }
    }
    while (underWay.length > 0) yield await underWay.shift()!;
  } finally {
    await Promise.allSettled(underWay);
  }
}

/**
 * Prefetches up to `depth` results of a generator and passes its return value on. Stopping early closes the generator
 * after its pending result, so a slow generator must be stopped first.
 */
export async function* runAhead<T, R>(
  source: AsyncGenerator<T, R | undefined>,
  depth: number,
): AsyncGenerator<T, R | undefined> {
  const asked: Promise<IteratorResult<T, R | undefined>>[] = [];
  const ask = () => {
    const result = source.next();
    result.catch(() => undefined);
    asked.push(result);
  };
  try {
    for (let i = 0; i < depth; i++) ask();
    for (;;) {
      ask();
      const { value, done } = await asked.shift()!;
      if (done === true) return value;
      yield value;
    }
  } finally {
    await source.return(undefined);
  }
}
