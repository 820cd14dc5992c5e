/** A GIF's first frame as a separate file, and its position on the canvas. */
export interface GifFrame {
  /** A GIF of just this frame, opaque. */
  readonly file: Uint8Array;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly canvasWidth: number;
  readonly canvasHeight: number;
  /** R, G, B of the canvas outside the frame. */
  readonly background: readonly [number, number, number];
}

const MOST_COLORS = 256;
const HEADER_BYTES = 13;
const DESCRIPTOR_BYTES = 10;
const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;
const IMAGE = 0x2c;
const TRAILER = 0x3b;

const tableBytes = (flags: number) => ((flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1));

/** End of the sub-blocks at `offset`, before their terminator, which may be missing at the end of the file. */
function endOfBlocks(bytes: Buffer, offset: number): number {
  let end = offset;
  while (end < bytes.length && bytes[end] !== 0) end += bytes[end]! + 1;
  if (end > bytes.length) throw new Error("the GIF is cut short");
  return end;
}

/** The offset of the first frame's descriptor, and its transparent index. */
function findFrame(bytes: Buffer, offset: number): { frame: number; transparent?: number } {
  let transparent: number | undefined;
  let place = offset;
  while (place < bytes.length && bytes[place] !== IMAGE) {
    if (bytes[place] === TRAILER) break;
    if (bytes[place] !== EXTENSION) {
      place++;
      continue;
    }
    const isControl = bytes[place + 1] === GRAPHIC_CONTROL && bytes[place + 2]! >= 4;
    if (isControl && (bytes[place + 3]! & 1) === 1) transparent = bytes[place + 6]!;
    place = endOfBlocks(bytes, place + 2) + 1;
  }
  if (bytes[place] !== IMAGE || place + DESCRIPTOR_BYTES > bytes.length)
    throw new Error("the GIF has no frame");
  return { frame: place, ...(transparent !== undefined && { transparent }) };
}

/** A color table of 256 entries: the file's, then black; without one an index is a gray level. */
function colorTable(table: Buffer): Uint8Array {
  if (table.length === 0) return Uint8Array.from({ length: 3 * MOST_COLORS }, (_, i) => Math.floor(i / 3));
  const colors = new Uint8Array(3 * MOST_COLORS);
  colors.set(table);
  return colors;
}

/**
 * A GIF as Pillow reads it: the first frame with the colors of its palette, even for the transparent index, on a canvas of
 * the transparent index, or else index 0, which is enlarged to hold the frame.
 */
export function firstGifFrame(given: Uint8Array): GifFrame {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  if (bytes.length < HEADER_BYTES) throw new Error("the GIF is cut short");
  const globalEnd = HEADER_BYTES + tableBytes(bytes[10]!);
  const { frame, transparent = 0 } = findFrame(bytes, globalEnd);
  const [left, top, width, height] = [1, 3, 5, 7].map((at) => bytes.readUInt16LE(frame + at)) as [
    number,
    number,
    number,
    number,
  ];
  if (width === 0 || height === 0) throw new Error("the GIF's first frame is empty");
  const flags = bytes[frame + 9]!;
  const tableStart = frame + DESCRIPTOR_BYTES;
  const dataStart = tableStart + tableBytes(flags);
  const colors = colorTable(
    dataStart > tableStart ? bytes.subarray(tableStart, dataStart) : bytes.subarray(HEADER_BYTES, globalEnd),
  );
  const canvasWidth = Math.max(bytes.readUInt16LE(6), left + width);
  const canvasHeight = Math.max(bytes.readUInt16LE(8), top + height);
  const size = Buffer.alloc(4);
  size.writeUInt16LE(width, 0);
  size.writeUInt16LE(height, 2);
  const file = Buffer.concat([
    Buffer.from("GIF89a"),
    size,
    Buffer.from([0xf7, 0, 0]),
    colors,
    Buffer.from([IMAGE, 0, 0, 0, 0]),
    size,
    Buffer.from([flags & 0x40]),
    bytes.subarray(dataStart, endOfBlocks(bytes, dataStart + 1)),
    Buffer.from([0, TRAILER]),
  ]);
  return {
    file,
    left,
    top,
    right: canvasWidth - left - width,
    bottom: canvasHeight - top - height,
    canvasWidth,
    canvasHeight,
    background: [colors[3 * transparent]!, colors[3 * transparent + 1]!, colors[3 * transparent + 2]!],
  };
}
