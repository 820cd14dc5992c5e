/** @throws the signal's reason when it is aborted */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw signal.reason;
}

/** What to call at an abort, behind one listener per signal: Node warns about more than ten on a signal. */
const watched = new WeakMap<AbortSignal, { readonly calls: Set<() => void>; readonly stop: () => void }>();

function watch(signal: AbortSignal) {
  const calls = new Set<() => void>();
  const stop = () => {
    watched.delete(signal);
    signal.removeEventListener("abort", listener);
  };
  const listener = () => {
    stop();
    for (const call of calls) call();
  };
  const watching = { calls, stop };
  watched.set(signal, watching);
  signal.addEventListener("abort", listener);
  return watching;
}

/**
 * Calls `given` when the signal is aborted; never for a signal that is aborted already.
 * @returns removes it
 */
export function onAbort(signal: AbortSignal | undefined, given: () => void): () => void {
  if (!signal || signal.aborted) return () => undefined;
  const watching = watched.get(signal) ?? watch(signal);
  // A function of its own, so that the same function may be given twice.
  const call = () => given();
  watching.calls.add(call);
  return () => {
    watching.calls.delete(call);
    if (watching.calls.size === 0 && watched.get(signal) === watching) watching.stop();
  };
}

/** `work`, or the signal's reason as soon as it is aborted; the pending work then finishes and its result is ignored. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  work.catch(() => undefined);
  throwIfAborted(signal);
  let remove = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    remove = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    remove();
  }
}
