import type { Fail } from "../checkpoint_error";

/** Python's integers are unlimited; those of a checkpoint are counters and seeds. */
const MAX_INTEGER_BYTES = 1024;
const NEWLINE = 0x0a;

/** Reads the arguments of a pickle's instructions in order; never allocates more than the bytes that are left. */
export class PickleCursor {
  private position = 0;
  private readonly view: DataView;
  private readonly text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(
    private readonly data: Uint8Array,
    private readonly fail: Fail,
  ) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get offset(): number {
    return this.position;
  }

  get remaining(): number {
    return this.data.length - this.position;
  }

  uint8(): number {
    return this.view.getUint8(this.take(1));
  }

  uint16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  int32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  /** A length of eight bytes; above 2^53 it is rounded, and always too large for `take`. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  /** Big-endian, unlike everything else in a pickle. */
  float64(): number {
    return this.view.getFloat64(this.take(8), false);
  }

  /** The next `count` bytes, not copied. */
  bytes(count: number): Uint8Array {
    const begin = this.take(count);
    return this.data.subarray(begin, begin + count);
  }

  string(count: number): string {
    const at = this.position;
    const bytes = this.bytes(count);
    try {
      return this.text.decode(bytes);
    } catch {
      throw this.fail("CORRUPT", `has a string that is not UTF-8 at byte ${at} of its pickle`);
    }
  }

  /** Text up to the end of the line, without the newline. */
  line(): string {
    const end = this.data.indexOf(NEWLINE, this.position);
    const text = this.string(end < 0 ? this.remaining + 1 : end - this.position);
    this.take(1);
    return text;
  }

  /** A two's-complement integer of `count` bytes: a number if it is exact, otherwise a bigint. */
  integer(count: number): number | bigint {
    if (count > MAX_INTEGER_BYTES) {
      throw this.fail("CORRUPT", `has an integer of ${count} bytes, expected at most ${MAX_INTEGER_BYTES}`);
    }
    const digits = Buffer.from(this.bytes(count)).reverse().toString("hex");
    const value = BigInt.asIntN(8 * count, BigInt(`0x${digits || "0"}`));
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  private take(count: number): number {
    const begin = this.position;
    if (count > this.remaining) {
      throw this.fail(
        "CORRUPT",
        `has a pickle that ends too early: expected ${count} more bytes at byte ${begin}, found ${this.remaining}`,
      );
    }
    this.position += count;
    return begin;
  }
}
