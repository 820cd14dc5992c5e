/**
 * A stream of random numbers that is a pure function of its key and counter, so that a batch can be rebuilt from
 * `(seed, step)` alone and the order in which batches are made does not matter.
 *
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 */
export class CounterRandom {
  private readonly block = new Uint32Array(4);
  private next = 4;
  private blockIndex = 0;

  /**
   * @param seed of the experiment
   * @param purpose separates the uses of one seed (split, order, captions, …)
   * @param step and `item` name the thing drawn for
   */
  constructor(
    private readonly seed: number,
    private readonly purpose: number,
    private readonly step = 0,
    private readonly item = 0,
  ) {}

  /** An integer in [0, 2^32). */
  uint32(): number {
    if (this.next === 4) {
      this.block.set([this.blockIndex, this.step, this.item, 0]);
      philox(this.block, this.seed, this.purpose);
      this.blockIndex += 1;
      this.next = 0;
    }
    const value = this.block[this.next]!;
    this.next += 1;
    return value;
  }

  /** A number in [0, 1). */
  uniform(): number {
    return this.uint32() / 2 ** 32;
  }

  /** A number in [-1, 1). */
  symmetric(): number {
    return this.uniform() * 2 - 1;
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** `count` different elements in random order: the first steps of a Fisher-Yates shuffle of a copy. */
  sample<Element>(from: readonly Element[], count = from.length): Element[] {
    const pool = [...from];
    const taken = Math.min(count, pool.length);
    for (let i = 0; i < taken; i++) {
      const j = i + this.below(pool.length - i);
      const chosen = pool[j]!;
      pool[j] = pool[i]!;
      pool[i] = chosen;
    }
    return pool.slice(0, taken);
  }

  /** One element of a list that is not empty. */
  pick<Element>(from: readonly Element[]): Element {
    return from[this.below(from.length)]!;
  }
}

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85] as const;
const ROUNDS = 10;

/** Ten rounds of Philox4x32 in place on the counter block. */
function philox(block: Uint32Array, key0: number, key1: number): void {
  let [c0, c1, c2, c3] = block as unknown as [number, number, number, number];
  let [k0, k1] = [key0 >>> 0, key1 >>> 0];
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIERS[0], c0);
    const low0 = Math.imul(MULTIPLIERS[0], c0);
    const high1 = multiplyHigh(MULTIPLIERS[1], c2);
    const low1 = Math.imul(MULTIPLIERS[1], c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1 >>> 0, (high0 ^ c3 ^ k1) >>> 0, low0 >>> 0];
    k0 = (k0 + KEY_STEPS[0]) >>> 0;
    k1 = (k1 + KEY_STEPS[1]) >>> 0;
  }
  block.set([c0, c1, c2, c3]);
}

/** The upper 32 bits of a 32 x 32-bit product, by 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const [aHigh, aLow] = [a >>> 16, a & 0xffff];
  const [bHigh, bLow] = [b >>> 16, b & 0xffff];
  const first = aHigh * bLow + ((aLow * bLow) >>> 16);
  const second = aLow * bHigh + (first & 0xffff);
  return aHigh * bHigh + (first >>> 16) + (second >>> 16);
}
