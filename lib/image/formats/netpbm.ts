import type { RawImage } from "../image_input";
import { requirePixels } from "../pixel_limit";
import { inTurns } from "../turns";

const VALUES_PER_SLICE = 32_768;
const MOST_DIGITS = 10;
const [LINE_FEED, CARRIAGE_RETURN, HASH, ZERO, NINE] = [10, 13, 35, 48, 57];

const isSpace = (byte: number) => byte === 32 || (byte >= 9 && byte <= 13);

/** Reads the numbers of a PNM file, with comments between them. */
class NumberReader {
  constructor(
    private readonly bytes: Uint8Array,
    public offset: number,
  ) {}

  private skipSpace(): void {
    const { bytes } = this;
    let isComment = false;
    for (; this.offset < bytes.length; this.offset++) {
      const byte = bytes[this.offset]!;
      if (isComment) isComment = byte !== LINE_FEED && byte !== CARRIAGE_RETURN;
      else if (byte === HASH) isComment = true;
      else if (!isSpace(byte)) return;
    }
  }

  /** The next number of at most `digits` digits. */
  next(digits = MOST_DIGITS): number {
    this.skipSpace();
    const begin = this.offset;
    let value = 0;
    for (; this.offset < Math.min(this.bytes.length, begin + digits); this.offset++) {
      const byte = this.bytes[this.offset]!;
      if (byte < ZERO || byte > NINE) break;
      value = value * 10 + byte - ZERO;
    }
    if (this.offset > begin) return value;
    throw new Error(
      begin >= this.bytes.length ? "it is cut short" : `byte ${begin} does not start a PNM number`,
    );
  }
}

/** The sample at an index, in the file's own scale. */
type SampleReader = (index: number) => number;

function binarySamples(bytes: Uint8Array, start: number, most: number, count: number): SampleReader {
  const sampleBytes = most > 255 ? 2 : 1;
  const needed = start + count * sampleBytes;
  if (bytes.length < needed)
    throw new Error(`it is cut short: it needs ${needed} bytes and has ${bytes.length}`);
  if (sampleBytes === 1) return (i) => bytes[start + i]!;
  return (i) => (bytes[start + 2 * i]! << 8) | bytes[start + 2 * i + 1]!;
}

/** P4: one bit per pixel, rows padded to bytes, 1 is black. */
function bitSamples(bytes: Uint8Array, start: number, width: number, height: number): SampleReader {
  const stride = Math.ceil(width / 8);
  const needed = start + stride * height;
  if (bytes.length < needed)
    throw new Error(`it is cut short: it needs ${needed} bytes and has ${bytes.length}`);
  return (i) => {
    const x = i % width;
    return 1 - ((bytes[start + Math.floor(i / width) * stride + (x >> 3)]! >> (7 - (x & 7))) & 1);
  };
}

/** @throws Error when the header is cut short */
export function netpbmSize(bytes: Uint8Array): { readonly width: number; readonly height: number } {
  const reader = new NumberReader(bytes, 2);
  return { width: reader.next(), height: reader.next() };
}

/** Decodes PBM, PGM and PPM, text or binary, with samples of 1 to 16 bits, to 8 bits per channel. */
export async function decodeNetpbm(bytes: Uint8Array): Promise<RawImage> {
  const kind = bytes[1]! - ZERO;
  const [isBits, isText, channels] = [kind % 3 === 1, kind <= 3, kind % 3 === 0 ? 3 : 1] as const;
  const reader = new NumberReader(bytes, 2);
  const [width, height] = [reader.next(), reader.next()];
  requirePixels(width, height);
  const most = isBits ? 1 : reader.next();
  if (most < 1 || most > 65535) throw new Error(`its greatest value must be from 1 to 65535, found ${most}`);
  const count = width * height * channels;
  const start = reader.offset + 1;
  // Text has at least one byte per sample: nothing is allocated for samples that the file cannot have.
  if (isText && bytes.length - reader.offset < count) throw new Error("it is cut short");
  let sample: SampleReader;
  if (isText) sample = isBits ? () => 1 - reader.next(1) : () => reader.next();
  else sample = isBits ? bitSamples(bytes, start, width, height) : binarySamples(bytes, start, most, count);
  const data = new Uint8Array(count);
  await inTurns(count, VALUES_PER_SLICE, (begin, end) => {
    for (let i = begin; i < end; i++) {
      const value = sample(i);
      if (isText && (value < 0 || value > most))
        throw new Error(`it has a value above its greatest, ${most}`);
      data[i] = Math.min(255, Math.round((value * 255) / most));
    }
  });
  return { data, width, height, channels };
}
