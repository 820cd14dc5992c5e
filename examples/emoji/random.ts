import type { CounterRandom } from "eva-clip/data";

/** `count` distinct elements in random order: a partial Fisher-Yates shuffle of a copy. */
export function sample<Element>(random: CounterRandom, from: readonly Element[], count: number): Element[] {
  const pool = [...from];
  const taken = Math.min(count, pool.length);
  for (let i = 0; i < taken; i++) {
    const j = i + random.below(pool.length - i);
    [pool[i], pool[j]] = [pool[j]!, pool[i]!];
  }
  return pool.slice(0, taken);
}

/** A random element of a non-empty list. */
export function pick<Element>(random: CounterRandom, from: readonly Element[]): Element {
  return from[random.below(from.length)]!;
}
