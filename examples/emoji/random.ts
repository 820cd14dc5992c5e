import type { CounterRandom } from "eva-clip/data";

/** `count` different elements in random order: the first steps of a Fisher-Yates shuffle of a copy. */
export function sample<Element>(random: CounterRandom, from: readonly Element[], count: number): Element[] {
  const pool = [...from];
  const taken = Math.min(count, pool.length);
  for (let i = 0; i < taken; i++) {
    const j = i + random.below(pool.length - i);
    [pool[i], pool[j]] = [pool[j]!, pool[i]!];
  }
  return pool.slice(0, taken);
}

/** One element of a list that is not empty. */
export function pick<Element>(random: CounterRandom, from: readonly Element[]): Element {
  return from[random.below(from.length)]!;
}
