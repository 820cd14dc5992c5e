const pending = new Map<string, Promise<unknown>>();

/** Runs `work` after all earlier work for the same key has settled. */
export async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
  const mine = (pending.get(key) ?? Promise.resolve()).then(work, work);
  pending.set(key, mine);
  try {
    return await mine;
  } finally {
    if (pending.get(key) === mine) pending.delete(key);
  }
}
