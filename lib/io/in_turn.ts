const underWay = new Map<string, Promise<unknown>>();

/** Runs `work` when what was given before for the same thing is over, however it ended. */
export async function inTurn<T>(thing: string, work: () => Promise<T>): Promise<T> {
  const mine = (underWay.get(thing) ?? Promise.resolve()).then(work, work);
  underWay.set(thing, mine);
  try {
    return await mine;
  } finally {
    if (underWay.get(thing) === mine) underWay.delete(thing);
  }
}
