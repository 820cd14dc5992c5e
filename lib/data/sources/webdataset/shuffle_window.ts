/** An item with its place: item `offset` of window number `window` in the order of the stream. */
export interface Shuffled<T> {
  readonly item: T;
  /** First item of the window as the stream had it, and how many items of the window are now out. */
  readonly first: T;
  readonly emitted: number;
  /** The window's last item as the stream had it, once all of it is out. */
  readonly last: T | undefined;
}

/**
 * Shuffles a stream through windows of `size` items: each window leaves in a random order while the next one is read
 * into the places it frees, so memory holds one window. Because a window is shuffled as a whole, a stream that starts at
 * a window's first item repeats it exactly; a reservoir would need all that it holds to be saved.
 *
 * @param order the place in the window of the n-th item to leave; `first` is the window's first item
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
