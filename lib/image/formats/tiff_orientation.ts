const ORIENTATION = 0x112;
const SHORT = 3;
const UPRIGHT = 1;
const LAST_ORIENTATION = 8;
const BIG_TIFF = 43;
/** Far above any image; directories of a malicious file may overlap. */
const MOST_ENTRIES = 1 << 18;

/** Reads numbers in a file's byte order, and directories of TIFF or BigTIFF. */
class Tiff {
  private readonly isLittle: boolean;
  private readonly isBig: boolean;

  constructor(private readonly bytes: Buffer) {
    this.isLittle = bytes[0] === "I".charCodeAt(0);
    this.isBig = this.short(2) === BIG_TIFF;
  }

  short(at: number): number {
    return this.isLittle ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at);
  }

  writeShort(value: number, at: number): void {
    if (this.isLittle) this.bytes.writeUInt16LE(value, at);
    else this.bytes.writeUInt16BE(value, at);
  }

  private offset(at: number): number {
    if (this.isBig)
      return Number(this.isLittle ? this.bytes.readBigUInt64LE(at) : this.bytes.readBigUInt64BE(at));
    return this.isLittle ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at);
  }

  /** Offsets of the values of the orientation tags, in complete directories. */
  orientations(): number[] {
    const [countBytes, entryBytes, valueAt] = this.isBig ? [8, 20, 12] : [2, 12, 8];
    const found: number[] = [];
    const seen = new Set<number>();
    let entries = 0;
    try {
      let directory = this.offset(this.isBig ? 8 : 4);
      while (directory > 0 && !seen.has(directory)) {
        seen.add(directory);
        const count = this.isBig ? this.offset(directory) : this.short(directory);
        let entry = directory + countBytes;
        for (let i = 0; i < count; i++, entry += entryBytes) {
          if (entries++ === MOST_ENTRIES) return found;
          if (this.short(entry) === ORIENTATION && this.short(entry + 2) === SHORT)
            found.push(entry + valueAt);
        }
        directory = this.offset(entry);
      }
    } catch (error) {
      // The decoder reports a directory that exceeds the file.
      if (!(error instanceof RangeError)) throw error;
    }
    return found;
  }
}

/**
 * The TIFF file with valid orientations, copied if one changes: Pillow ignores values other than 1 to 8, libtiff refuses
 * the file.
 */
export function withKnownOrientations(given: Uint8Array): Uint8Array {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  if (bytes.length < 8) return given;
  const tiff = new Tiff(bytes);
  const unknown = tiff.orientations().filter((at) => {
    const value = tiff.short(at);
    return value < UPRIGHT || value > LAST_ORIENTATION;
  });
  if (unknown.length === 0) return given;
  const copy = Buffer.from(bytes);
  for (const at of unknown) new Tiff(copy).writeShort(UPRIGHT, at);
  return copy;
}
