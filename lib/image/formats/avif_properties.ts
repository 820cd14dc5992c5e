interface IsoBox {
  readonly type: string;
  /** Offsets of its content. */
  readonly begin: number;
  readonly end: number;
}

/** The complete boxes between two offsets. */
function* boxes(bytes: Buffer, begin: number, end: number): Generator<IsoBox> {
  let offset = begin;
  while (offset + 8 <= end) {
    let size = bytes.readUInt32BE(offset);
    const type = bytes.toString("latin1", offset + 4, offset + 8);
    let header = 8;
    if (size === 1 && offset + 16 <= end) {
      size = Number(bytes.readBigUInt64BE(offset + 8));
      header = 16;
    } else if (size === 0) size = end - offset;
    if (size < header || offset + size > end) return;
    yield { type, begin: offset + header, end: offset + size };
    offset += size;
  }
}

function find(bytes: Buffer, within: { begin: number; end: number }, type: string): IsoBox | undefined {
  for (const box of boxes(bytes, within.begin, within.end)) if (box.type === type) return box;
  return undefined;
}

/** Clears the associations of an ipma box with the properties of `removed`. */
function clearAssociations(bytes: Buffer, { begin, end }: IsoBox, removed: ReadonlySet<number>): void {
  const [version, isWide] = [bytes[begin]!, (bytes[begin + 3]! & 1) === 1];
  let offset = begin + 8;
  for (let entries = bytes.readUInt32BE(begin + 4); entries > 0 && offset < end; entries--) {
    offset += version < 1 ? 2 : 4;
    for (let count = bytes[offset++] ?? 0; count > 0 && offset < end; count--) {
      const index = isWide ? bytes.readUInt16BE(offset) & 0x7fff : bytes[offset]! & 0x7f;
      const length = isWide ? 2 : 1;
      if (removed.has(index)) bytes.fill(0, offset, offset + length);
      offset += length;
    }
  }
}

const TRANSFORMS = new Set(["irot", "imir", "clap"]);

/**
 * A copy of an AVIF file without rotation, mirroring and cropping, which libheif applies and Pillow's decoder does not. A
 * sequence is marked as a still image.
 */
export function withoutTransforms(given: Uint8Array): Uint8Array {
  const bytes = Buffer.from(given);
  if (bytes.toString("latin1", 8, 12) === "avis") bytes.write("avif", 8, "latin1");
  const meta = find(bytes, { begin: 0, end: bytes.length }, "meta");
  const properties = meta && find(bytes, { begin: meta.begin + 4, end: meta.end }, "iprp");
  const container = properties && find(bytes, properties, "ipco");
  if (!properties || !container) return bytes;
  const removed = new Set<number>();
  let index = 1;
  for (const { type } of boxes(bytes, container.begin, container.end)) {
    if (TRANSFORMS.has(type)) removed.add(index);
    index++;
  }
  if (removed.size === 0) return bytes;
  for (const box of boxes(bytes, properties.begin, properties.end))
    if (box.type === "ipma" && box.end - box.begin >= 8) clearAssociations(bytes, box, removed);
  return bytes;
}
