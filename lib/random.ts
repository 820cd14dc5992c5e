import { describeValue, invalidArgument } from "./arguments";

const GOLDEN = 0x9e3779b9;
const FEISTEL_ROUNDS = 8;

/** The 32-bit finalizer of MurmurHash3 (Appleby 2011): every input bit changes every output bit. */
function mix32(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function hashWords(words: readonly number[], salt: number): number {
  let hash = mix32(salt);
  for (const word of words) {
    hash = mix32((hash ^ word) + GOLDEN);
    hash = mix32((hash ^ Math.floor(word / 2 ** 32)) + GOLDEN);
  }
  return hash;
}

/**
 * Counter-based random numbers for sample order, crops and captions (ops use Philox instead): draw n is a pure function
 * of the key and n, mixed by MurmurHash3's finalizer. A stream keyed by (seed, epoch, sample index) therefore repeats
 * exactly after a resume, in any order of evaluation.
 */
export class CounterRandom {
  private readonly first: number;
  private readonly second: number;
  private counter = 0;

  /**
   * @param key safe integers that identify the stream, for example (seed, epoch, index)
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` if the key holds anything else
   */
  constructor(...key: number[]) {
    if (!key.every(Number.isSafeInteger)) {
      const found = describeValue(key.find((word) => !Number.isSafeInteger(word)));
      throw invalidArgument(`CounterRandom: key must be safe integers, found ${found}`);
    }
    this.first = hashWords(key, 1);
    this.second = hashWords(key, 2);
  }

  /** An integer in [0, 2^32). */
  uint32(): number {
    const count = this.counter++;
    return mix32(mix32(this.first + Math.imul(count, GOLDEN)) ^ this.second);
  }

  /** A number in [low, high), with 32 random bits. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.uint32() / 2 ** 32);
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }
}

/**
 * Image of `index` under a pseudorandom permutation of [0, size) selected by `key`: a Feistel network over the next
 * power of four with cycle walking (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
 * O(1) memory, so an epoch of any length starts or resumes immediately.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export function permute(index: number, size: number, ...key: number[]): number {
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) {
    const found = `${describeValue(index)} of ${describeValue(size)}`;
    throw invalidArgument(`permute: index must be an integer from 0 to below size, found ${found}`);
  }
  if (!key.every(Number.isSafeInteger)) throw invalidArgument("permute: key must be safe integers");
  let halfBits = 1;
  while (4 ** halfBits < size) halfBits++;
  const halfSize = 2 ** halfBits;
  const roundKey = hashWords(key, 3);
  let position = index;
  do {
    let left = Math.floor(position / halfSize);
    let right = position % halfSize;
    for (let round = 0; round < FEISTEL_ROUNDS; round++) {
      const mixed = mix32(mix32(right + Math.imul(round + 1, GOLDEN)) ^ roundKey) % halfSize;
      [left, right] = [right, left ^ mixed];
    }
    position = left * halfSize + right;
  } while (position >= size);
  return position;
}
