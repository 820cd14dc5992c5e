import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";

/** The longest that results may follow each other without the event loop turning once. */
const TURN_MS = 8;

/**
 * Applies `transform` to a stream with up to `concurrency` calls at once and gives the results in the stream's order,
 * whatever order they finish in. Stopping early waits for the calls under way and closes the source.
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
      // It is awaited in its turn; until then a failure must not count as unhandled.
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
 * Gives a generator's results, and what it returns, while up to `depth` more are being made. Ending early closes the generator, after what
 * it is at: a generator that may take long must be told to stop first.
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
