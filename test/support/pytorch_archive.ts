import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** An entry of an archive; `localName` and `method` allow a header that contradicts the directory. */
export interface ArchiveEntry {
  readonly name: string;
  readonly data: Buffer | string;
  readonly localName?: string;
  readonly method?: number;
  /** CRC-32 of the content; by default none. */
  readonly checksum?: number;
}

export interface ArchiveOptions {
  /** Puts all sizes and offsets into ZIP64 fields, and locates the directory by a ZIP64 record. */
  readonly isZip64?: boolean;
  /** Offset of the ZIP64 record in its locator; default: the real one. */
  readonly zip64Record?: bigint;
}

const ONES_32 = 0xffffffff;

/** Little-endian integers; each character of `widths` is the byte count of one. */
function pack(widths: string, ...values: (number | bigint)[]): Buffer {
  const fields = values.map((value, i) => {
    const field = Buffer.alloc(8);
    field.writeBigUInt64LE(BigInt(value));
    return field.subarray(0, Number(widths[i]));
  });
  return Buffer.concat(fields);
}

function localHeader(name: Buffer, method: number, bytes: number): Buffer {
  return Buffer.concat([
    pack("4222444422", 0x04034b50, 0, 0, method, 0, 0, bytes, bytes, name.length, 0),
    name,
  ]);
}

function directoryEntry(entry: ArchiveEntry, bytes: number, at: number, isZip64: boolean): Buffer {
  const { method = 0, checksum = 0 } = entry;
  const name = Buffer.from(entry.name);
  const extra = isZip64 ? pack("22888", 1, 24, bytes, bytes, at) : Buffer.alloc(0);
  const [size, place] = isZip64 ? [ONES_32, ONES_32] : [bytes, at];
  const sizes = [checksum, size, size, name.length, extra.length];
  const numbers = [0x02014b50, 0, 0, method, 0, ...sizes, 0, 0, 0, place];
  return Buffer.concat([pack("44224444222444", ...numbers), name, extra]);
}

/** A ZIP archive of stored entries, byte by byte. */
export function packArchive(entries: readonly ArchiveEntry[], options: ArchiveOptions = {}): Buffer {
  const isZip64 = options.isZip64 ?? false;
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const entry of entries) {
    const { name, data, localName = name, method = 0 } = entry;
    const content = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    const header = localHeader(Buffer.from(localName), method, content.length);
    directory.push(directoryEntry(entry, content.length, at, isZip64));
    parts.push(header, content);
    at += header.length + content.length;
  }
  const count = entries.length;
  const bytes = directory.reduce((sum, entry) => sum + entry.length, 0);
  if (isZip64) {
    directory.push(pack("4822448888", 0x06064b50, 44, 45, 45, 0, 0, count, count, bytes, at));
    directory.push(pack("4484", 0x07064b50, 0, options.zip64Record ?? at + bytes, 1));
  }
  const [shownCount, shownBytes, shownAt] = isZip64 ? [0xffff, ONES_32, ONES_32] : [count, bytes, at];
  const end = pack("4422442", 0x06054b50, 0, shownCount!, shownCount!, shownBytes!, shownAt!, 0);
  return Buffer.concat([...parts, ...directory, end]);
}

/** The entries of a checkpoint with a pickle in latin1 and a storage `0` of `storageBytes` bytes. */
export function checkpointEntries(pickle: string, storageBytes = 16): ArchiveEntry[] {
  return [
    { name: "archive/data.pkl", data: pickle },
    { name: "archive/data/0", data: Buffer.from(Array.from({ length: storageBytes }, (_, i) => i)) },
    { name: "archive/version", data: "3\n" },
  ];
}

/** A pickle of `{"weight": tensor}` with the given offset, sizes and strides in a byte storage. */
export function tensorPickle(
  begin: number,
  shape: readonly number[],
  strides: readonly number[],
  elements = 16,
): string {
  const integer = (value: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    return `\x8a\x08${bytes.toString("latin1")}`;
  };
  const tuple = (values: readonly number[]) => `(${values.map(integer).join("")}t`;
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
  const storage = `(${text("storage")}ctorch\nByteStorage\n${text("0")}${text("cpu")}${integer(elements)}tQ`;
  const empty = "ccollections\nOrderedDict\n)R";
  const args = `(${storage}${integer(begin)}${tuple(shape)}${tuple(strides)}\x89${empty}t`;
  return `\x80\x02}${text("weight")}ctorch._utils\n_rebuild_tensor_v2\n${args}Rs.`;
}

/** A temporary folder of a test. */
export class ScratchFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<ScratchFolder> {
    return new ScratchFolder(await mkdtemp(join(tmpdir(), "eva-clip-")));
  }

  async write(name: string, bytes: Uint8Array | string): Promise<string> {
    const path = join(this.path, name);
    await writeFile(path, bytes);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}
