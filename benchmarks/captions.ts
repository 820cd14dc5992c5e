import { CounterRandom } from "../lib/random";

/**
 * Realistic caption lengths in tokens, including start and end: log-normal with a mean of 18, from 5 to `longest`, as in
 * the peers' programs.
 */
export function captionLengths(count: number, longest = 77): number[] {
  const random = new CounterRandom(1);
  return Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    return Math.min(longest, Math.max(5, Math.round(18 * Math.exp(0.45 * normal - 0.1))));
  });
}
