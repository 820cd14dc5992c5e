/** A shuffled item and the state of its window, from which the stream can be resumed. */
export interface Shuffled<T> {
  readonly item: T;
  /** The window's first item in stream order, and the number of its items emitted so far, this one included. */
  readonly first: T;
  readonly emitted: number;
  /** The window's last item in stream order, once the whole window is emitted. */
  readonly last: T | undefined;
}

/**
 * Shuffles a stream in windows of `size` items: each window is emitted in random order while the next one is read, so
 * memory holds one window's worth of items. Restarting the stream at the first item of a window repeats the window
 * exactly; a shuffle buffer would have to be saved with its contents.
 *
 * @param order index in the window of the n-th item to emit; `first` is the window's first item
 */
export async function* shuffleWindows<T>(
  source: AsyncIterable<T>,
  size: number,
  order: (n: number, windowLength: number, first: T) => number,
): AsyncGenerator<Shuffled<T>> {
  const stream = source[Symbol.asyncIterator]();
  const pull = async (into: T[]): Promise<void> => {
    const { value, done } = await stream.next();
    if (done !== true) into.push(value);
  };
  try {
    let window: T[] = [];
    for (let i = 0; i < size && window.length === i; i++) await pull(window);
    while (window.length > 0) {
      const { length } = window;
      const [first, last] = [window[0]!, window[length - 1]!];
      const waiting: (T | undefined)[] = window;
      const next: T[] = [];
      for (let n = 0; n < length; n++) {
        const place = order(n, length, first);
        const item = waiting[place]!;
        waiting[place] = undefined;
        yield { item, first, emitted: n + 1, last: n + 1 === length ? last : undefined };
        if (length === size) await pull(next);
      }
      window = next;
    }
  } finally {
    await stream.return?.();
  }
}
