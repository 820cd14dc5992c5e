import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** An entry of an archive; `localName` and `method` let a test make a header that disagrees. */
export interface ArchiveEntry {
  readonly name: string;
  readonly data: Buffer | string;
  readonly localName?: string;
  readonly method?: number;
}

export interface ArchiveOptions {
  /** All sizes and places in ZIP64 fields, and the directory found through a ZIP64 record. */
  readonly isZip64?: boolean;
  /** Where the ZIP64 locator places its record; otherwise where it is. */
  readonly zip64Record?: bigint;
}

const ONES_32 = 0xffffffff;

function integers(layout: readonly (readonly [bytes: 2 | 4 | 8, value: number | bigint])[]): Buffer {
  return Buffer.concat(
    layout.map(([bytes, value]) => {
      const field = Buffer.alloc(8);
      field.writeBigUInt64LE(BigInt(value));
      return field.subarray(0, bytes);
    }),
  );
}

function directoryEntry(
  name: Buffer,
  method: number,
  bytes: number,
  header: number,
  isZip64: boolean,
): Buffer {
  const extra = isZip64 ? integers([[2, 1], [2, 24], [8, bytes], [8, bytes], [8, header]]) : Buffer.alloc(0); // biome-ignore format: a table
  const [shownBytes, shownHeader] = isZip64 ? [ONES_32, ONES_32] : [bytes, header];
  const fixed = integers([[4, 0x02014b50], [4, 0], [2, 0], [2, method], [4, 0], [4, 0], [4, shownBytes], [4, shownBytes], [2, name.length], [2, extra.length], [2, 0], [4, 0], [4, 0], [4, shownHeader]]); // biome-ignore format: a table
  return Buffer.concat([fixed, name, extra]);
}

/** A ZIP archive of stored entries, byte by byte. */
export function packArchive(entries: readonly ArchiveEntry[], options: ArchiveOptions = {}): Buffer {
  const isZip64 = options.isZip64 ?? false;
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, data, localName = name, method = 0 } of entries) {
    const content = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    const local = Buffer.from(localName);
    const header = integers([[4, 0x04034b50], [2, 0], [2, 0], [2, method], [4, 0], [4, 0], [4, content.length], [4, content.length], [2, local.length], [2, 0]]); // biome-ignore format: a table
    directory.push(directoryEntry(Buffer.from(name), method, content.length, at, isZip64));
    parts.push(header, local, content);
    at += header.length + local.length + content.length;
  }
  const directoryBytes = directory.reduce((sum, entry) => sum + entry.length, 0);
  const record = at + directoryBytes;
  if (isZip64) {
    const count = entries.length;
    directory.push(
      integers([[4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, directoryBytes], [8, at]]), // biome-ignore format: a table
      integers([
        [4, 0x07064b50],
        [4, 0],
        [8, options.zip64Record ?? record],
        [4, 1],
      ]),
    );
  }
  const shown = isZip64 ? [0xffff, ONES_32, ONES_32] : [entries.length, directoryBytes, at];
  const end = integers([[4, 0x06054b50], [4, 0], [2, shown[0]!], [2, shown[0]!], [4, shown[1]!], [4, shown[2]!], [2, 0]]); // biome-ignore format: a table
  return Buffer.concat([...parts, ...directory, end]);
}

/** The entries of a checkpoint whose pickle is given in latin1, with a storage `0` of `storageBytes` bytes. */
export function checkpointEntries(pickle: string, storageBytes = 16): ArchiveEntry[] {
  return [
    { name: "archive/data.pkl", data: pickle },
    { name: "archive/data/0", data: Buffer.from(Array.from({ length: storageBytes }, (_, i) => i)) },
    { name: "archive/version", data: "3\n" },
  ];
}

/** A pickle of `{"weight": tensor}` whose tensor has the given place, sizes and strides in a byte storage. */
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

/** A folder for files that a test writes. */
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
