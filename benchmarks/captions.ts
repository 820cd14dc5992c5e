import { CounterRandom } from "../lib/random";

/**
 * Lengths of captions as data sets have them, with both ends: log-normal, 18 tokens in the mean, from 5 to
 * `longest`, as in the programs of the peers.
 */
export function captionLengths(count: number, longest = 77): number[] {
  const random = new CounterRandom(1);
  return Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    return Math.min(longest, Math.max(5, Math.round(18 * Math.exp(0.45 * normal - 0.1))));
  });
}
