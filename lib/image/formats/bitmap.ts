import type { RawImage } from "../image_input";
import { requirePixels } from "../pixel_limit";
import { inTurns } from "../turns";

const FILE_HEADER_BYTES = 14;
const OS2_HEADER_BYTES = 12;
const COMPRESSIONS = ["none", "RLE8", "RLE4", "bit fields", "JPEG", "PNG", "alpha bit fields"];
const PIXELS_PER_SLICE = 32_768;

interface Header {
  readonly width: number;
  readonly height: number;
  /** The first row stored is the top one. */
  readonly topDown: boolean;
  readonly bits: number;
  /** Bit masks of R, G and B in pixels of 16, 24 and 32 bits. */
  readonly masks: readonly [number, number, number];
  /** Offset of the end of the header and its masks. */
  readonly end: number;
  /** Offset, entry size and length of the color table. */
  readonly table: { readonly offset: number; readonly entryBytes: number; readonly entries: number };
}

const MASKS_555 = [0x7c00, 0x3e0, 0x1f] as const;
const MASKS_888 = [0xff0000, 0xff00, 0xff] as const;

function readHeader(bytes: Buffer): Header {
  const size = bytes.readUInt32LE(FILE_HEADER_BYTES);
  if (size === OS2_HEADER_BYTES) {
    const [width, height, bits] = [bytes.readUInt16LE(18), bytes.readUInt16LE(20), bytes.readUInt16LE(24)];
    const table = { offset: FILE_HEADER_BYTES + size, entryBytes: 3, entries: 2 ** bits };
    return { width, height, topDown: false, bits, masks: MASKS_888, end: table.offset, table };
  }
  if (![40, 52, 56, 64, 108, 124].includes(size)) throw new Error(`the BMP has a header of ${size} bytes`);
  const [width, height, bits] = [bytes.readInt32LE(18), bytes.readInt32LE(22), bytes.readUInt16LE(28)];
  const compression = COMPRESSIONS[bytes.readUInt32LE(30)] ?? "unknown";
  const hasMasks = compression === "bit fields" || compression === "alpha bit fields";
  if (compression !== "none" && !(hasMasks && bits >= 16))
    throw new Error(
      `the BMP's compression (${compression}) is not supported: only uncompressed files are read`,
    );
  let masks: Header["masks"] = bits === 16 ? MASKS_555 : MASKS_888;
  if (hasMasks) masks = [bytes.readUInt32LE(54), bytes.readUInt32LE(58), bytes.readUInt32LE(62)];
  const table = {
    offset: FILE_HEADER_BYTES + size,
    entryBytes: 4,
    entries: bytes.readUInt32LE(46) || 2 ** bits,
  };
  const end = hasMasks && size === 40 ? table.offset + 12 : table.offset;
  return { width, height: Math.abs(height), topDown: height < 0, bits, masks, end, table };
}

/** R, G, B of every index; an index beyond the table is black. */
function readTable(bytes: Buffer, { bits, table }: Header): Uint8Array {
  const colors = new Uint8Array(3 * 2 ** bits);
  for (let i = 0; i < Math.min(table.entries, 2 ** bits); i++) {
    const entry = table.offset + i * table.entryBytes;
    for (let c = 0; c < 3; c++) colors[3 * i + c] = bytes.readUInt8(entry + 2 - c);
  }
  return colors;
}

/** Offset of the pixels: as in Pillow, after the color table if the file states 0 or the end of its header. */
function firstRow(bytes: Buffer, { bits, end, table }: Header): number {
  const stated = bytes.readUInt32LE(10);
  const tableBytes = bits <= 8 ? table.entries * table.entryBytes : 0;
  if (stated === 0 || (stated === end && bits <= 8)) return end + tableBytes;
  if (stated < end) throw new Error(`the BMP's pixels begin at ${stated}, within its header of ${end} bytes`);
  return stated;
}

type RowReader = (row: number, target: number) => void;

function indexedRows(bytes: Buffer, header: Header, pixels: Uint8Array): RowReader {
  const { width, bits } = header;
  const colors = readTable(bytes, header);
  const perByte = 8 / bits;
  return (row, target) => {
    for (let x = 0; x < width; x++) {
      const byte = bytes[row + Math.floor(x / perByte)]!;
      const index = 3 * ((byte >> (8 - bits - (x % perByte) * bits)) & (2 ** bits - 1));
      pixels[target + 3 * x] = colors[index]!;
      pixels[target + 3 * x + 1] = colors[index + 1]!;
      pixels[target + 3 * x + 2] = colors[index + 2]!;
    }
  };
}

function directRows(bytes: Buffer, { width, bits, masks }: Header, pixels: Uint8Array): RowReader {
  const pixelBytes = bits / 8;
  const channels = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { shift, most: mask >>> shift || 1, mask };
  });
  return (row, target) => {
    for (let x = 0; x < width; x++) {
      const value = bytes.readUIntLE(row + x * pixelBytes, pixelBytes);
      for (let c = 0; c < 3; c++) {
        const { shift, most, mask } = channels[c]!;
        pixels[target + 3 * x + c] = Math.floor((((value & mask) >>> shift) * 255) / most);
      }
    }
  };
}

/** @throws Error when the header is cut short or unknown */
export function bitmapHeader(given: Uint8Array): Header {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  if (bytes.length < FILE_HEADER_BYTES + OS2_HEADER_BYTES) throw new Error("the BMP is cut short");
  return readHeader(bytes);
}

/** Decodes an uncompressed BMP of 1, 4, 8, 16, 24 or 32 bits per pixel to RGB; like Pillow, it ignores alpha. */
export async function decodeBitmap(given: Uint8Array): Promise<RawImage> {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  const header = bitmapHeader(bytes);
  const { width, height, topDown, bits } = header;
  if (![1, 4, 8, 16, 24, 32].includes(bits)) throw new Error(`the BMP has ${bits} bits per pixel`);
  requirePixels(width, height);
  const start = firstRow(bytes, header);
  const stride = 4 * Math.ceil((width * bits) / 32);
  const needed = start + (height - 1) * stride + Math.ceil((width * bits) / 8);
  if (bytes.length < needed)
    throw new Error(`the BMP is cut short: it needs ${needed} bytes and has ${bytes.length}`);
  const data = new Uint8Array(width * height * 3);
  const readRow = bits <= 8 ? indexedRows(bytes, header, data) : directRows(bytes, header, data);
  await inTurns(height, PIXELS_PER_SLICE / width, (begin, end) => {
    for (let y = begin; y < end; y++) readRow(start + (topDown ? y : height - 1 - y) * stride, y * width * 3);
  });
  return { data, width, height, channels: 3 };
}
