import type { Fail } from "../checkpoint_error";

/** Python's integers have no limit; a checkpoint's are counters and seeds. */
const GREATEST_INTEGER_BYTES = 1024;
const NEWLINE = 0x0a;

/** Reads a pickle's arguments one after the other; nothing is made that the bytes left do not hold. */
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

  /** A length of eight bytes; one beyond 2^53 comes out rounded and is refused by whoever takes that many bytes. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  /** Protocol 2 stores floating-point numbers the other way round than everything else. */
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
      throw this.fail("CORRUPT", `holds a string that is not UTF-8 at byte ${at} of its pickle`);
    }
  }

  /** Text up to the end of the line, which is not part of it. */
  line(): string {
    const end = this.data.indexOf(NEWLINE, this.position);
    const text = this.string(end < 0 ? this.remaining + 1 : end - this.position);
    this.take(1);
    return text;
  }

  /** A two's-complement integer of `count` bytes: a number where it is exact, else a bigint. */
  integer(count: number): number | bigint {
    if (count > GREATEST_INTEGER_BYTES) {
      throw this.fail(
        "CORRUPT",
        `holds an integer of ${count} bytes, expected ${GREATEST_INTEGER_BYTES} at most`,
      );
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
