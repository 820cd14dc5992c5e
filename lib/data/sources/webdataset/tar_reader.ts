/** A file or link of a tar archive. */
export interface TarMember {
  readonly name: string;
  /** Bytes of the content. */
  readonly size: number;
  /** Where the content begins in the (decompressed) archive. */
  readonly offset: number;
  /** The kind of a member that is not a plain file, such as "a hard link to a.jpg"; its content is unusable. */
  readonly problem?: string;
  /** Reads the content; call at most once, before requesting the next member. */
  read(): Promise<Buffer>;
}

const BLOCK = 512;
/** Names and PAX records take a few blocks; a larger size indicates damage. */
const MOST_META_BYTES = 1024 * 1024;
const END_MARKER_BLOCKS = 2;
const GNU_MAGIC = "ustar  \0";
const REGULAR = new Set(["\0", "0", "7"]);
const LINKS = new Map([
  ["1", "a hard link"],
  ["2", "a symbolic link"],
]);
/** Devices, directories and FIFOs. */
const NO_FILES = new Set(["3", "4", "5", "6"]);

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Decodes a name as UTF-8, or as Latin-1 if it is invalid UTF-8, so that different names stay different. */
function decodeName(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    return Buffer.from(bytes).toString("latin1");
  }
}

/** A field up to its first null byte. */
function field(block: Buffer, start: number, length: number): Buffer {
  const bytes = block.subarray(start, start + length);
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** A number in octal digits, or in base 256 if the high bit of the first byte is set; undefined if it is neither. */
function numberIn(block: Buffer, start: number, length: number): number | undefined {
  if (block[start] === 0x80) {
    const value = block.subarray(start + 1, start + length).reduce((sum, byte) => sum * 256 + byte, 0);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = field(block, start, length).toString("latin1").trim();
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || "0", 8) : undefined;
}

/** Bytes of padding after a content of `size` bytes. */
const paddingOf = (size: number) => (BLOCK - (size % BLOCK)) % BLOCK;

const isZero = (block: Buffer) => block.every((byte) => byte === 0);

/** Whether a block's checksum is correct, over unsigned bytes or, as some old writers compute it, signed bytes. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK) return false;
  let [unsigned, signed] = [8 * 32, 8 * 32];
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    unsigned += block[i]!;
    signed += block.readInt8(i);
  }
  const stated = numberIn(block, 148, 8);
  return stated === unsigned || stated === signed;
}

/** Reads exact byte counts from a stream of chunks. */
class ByteQueue {
  private chunk: Buffer = Buffer.alloc(0);
  /** Bytes taken or skipped so far. */
  position = 0;

  constructor(private readonly source: AsyncIterator<Buffer>) {}

  /** The next bytes of the current chunk, at most `most`; undefined at the end. */
  private async some(most: number): Promise<Buffer | undefined> {
    while (this.chunk.length === 0) {
      const { value, done } = await this.source.next();
      if (done === true) return undefined;
      this.chunk = value;
    }
    const taken = this.chunk.subarray(0, most);
    this.chunk = this.chunk.subarray(taken.length);
    this.position += taken.length;
    return taken;
  }

  /** A copy of the next `count` bytes; fewer at the end of the stream. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = count; missing > 0; ) {
      const part = await this.some(missing);
      if (part === undefined) break;
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Skips `count` bytes; false if the stream ends before that. */
  async skip(count: number): Promise<boolean> {
    for (let missing = count; missing > 0; ) {
      const part = await this.some(missing);
      if (part === undefined) return false;
      missing -= part.length;
    }
    return true;
  }
}

/** Parses PAX records, `LENGTH KEY=VALUE\n`, with values as bytes. */
function paxRecords(bytes: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString("latin1", at, Math.max(at, space)));
    const equals = bytes.indexOf(0x3d, space);
    const isRecord = space > at && equals > space && equals < at + length && at + length <= bytes.length;
    if (!isRecord) throw new Error("it has a malformed PAX header");
    const key = bytes.toString("utf8", space + 1, equals);
    records.set(key, bytes.subarray(equals + 1, at + length - 1));
    at += length;
  }
  return records;
}

/** Fields from extension headers for the next member; the first header that sets a field wins. */
interface Extensions {
  name?: string | undefined;
  link?: string | undefined;
  pax: Map<string, Buffer>;
}

/** The name in a header; GNU archives use the prefix field for other data. */
function nameIn(block: Buffer): string {
  const name = field(block, 0, 100);
  const prefix = field(block, 345, 155);
  if (prefix.length === 0 || block.toString("latin1", 257, 265) === GNU_MAGIC) return decodeName(name);
  return `${decodeName(prefix)}/${decodeName(name)}`;
}

/**
 * Reads the members of an archive (v7, ustar, GNU, PAX) like Python's tarfile, but reports truncation and continues with
 * concatenated archives.
 */
export async function* tarMembers(source: AsyncGenerator<Buffer>): AsyncGenerator<TarMember> {
  try {
    yield* membersOf(new ByteQueue(source));
  } finally {
    await source.return(undefined);
  }
}

async function* membersOf(queue: ByteQueue): AsyncGenerator<TarMember> {
  const globals = new Map<string, Buffer>();
  let extensions: Extensions = { pax: new Map() };
  let zeroBlocks = 0;
  for (let isFirst = true; ; isFirst = false) {
    const block = await queue.take(BLOCK);
    if (block.length === 0 && isFirst) throw new Error("it is empty: 0 bytes");
    if (isZero(block)) {
      if (block.length < BLOCK) return;
      zeroBlocks++;
      continue;
    }
    if (!isTarHeader(block)) {
      // Data after the end marker are ignored unless they are another archive.
      if (zeroBlocks >= END_MARKER_BLOCKS) return;
      if (block.length < BLOCK) throw new Error("it ends inside a header");
      throw new Error(isFirst ? "it is not a tar archive" : "a header has the wrong checksum");
    }
    zeroBlocks = 0;
    const type = String.fromCharCode(block[156]!);
    const stated = numberIn(block, 124, 12);
    if (stated === undefined) throw new Error(`the header of ${nameIn(block)} has no valid size`);
    if ("LKxXg".includes(type)) {
      await readExtension(queue, type, stated, extensions, globals);
      continue;
    }
    if (type === "S") await skipSparseMap(queue, block);
    const pax = new Map([...globals, ...extensions.pax]);
    const { member, skipRest } = memberOf(queue, block, type, stated, { ...extensions, pax });
    // In v7 archives, a directory is a file whose name ends with a slash.
    if (!NO_FILES.has(type) && !member.name.endsWith("/")) yield member;
    await skipRest();
    extensions = { pax: new Map() };
  }
}

async function readExtension(
  queue: ByteQueue,
  type: string,
  size: number,
  extensions: Extensions,
  globals: Map<string, Buffer>,
): Promise<void> {
  if (size > MOST_META_BYTES) throw new Error(`it has an extension header of ${size} bytes`);
  const bytes = await queue.take(size);
  const isWhole = bytes.length === size && (await queue.skip(paddingOf(size)));
  if (!isWhole) throw new Error("it ends inside an extension header");
  if (type === "L") extensions.name ??= decodeName(field(bytes, 0, size));
  else if (type === "K") extensions.link ??= decodeName(field(bytes, 0, size));
  else
    for (const [key, value] of paxRecords(bytes)) (type === "g" ? globals : extensions.pax).set(key, value);
}

/** Skips the extension blocks of a GNU sparse file's map; a flag in each block marks whether another follows. */
async function skipSparseMap(queue: ByteQueue, header: Buffer): Promise<void> {
  let isContinued = header[482] !== 0;
  while (isContinued) {
    const map = await queue.take(BLOCK);
    if (map.length < BLOCK) throw new Error("it ends inside a header");
    isContinued = map[504] !== 0;
  }
}

/** The member of a header, and a function that skips the rest of its content. */
function memberOf(
  queue: ByteQueue,
  block: Buffer,
  type: string,
  stated: number,
  { name: longName, link: longLink, pax }: Extensions,
): { member: TarMember; skipRest: () => Promise<void> } {
  const textOf = (key: string) => {
    const value = pax.get(key);
    return value === undefined || value.length === 0 ? undefined : decodeName(value);
  };
  const name = longName ?? textOf("GNU.sparse.name") ?? textOf("path") ?? nameIn(block);
  const size = Number(textOf("size") ?? stated);
  if (!Number.isSafeInteger(size) || size < 0) throw new Error(`the size of ${name} is ${size}`);
  const link = LINKS.get(type);
  const isSparse = type === "S" || [...pax.keys()].some((key) => key.startsWith("GNU.sparse."));
  let problem: string | undefined;
  if (link !== undefined) {
    problem = `${link} to ${longLink ?? textOf("linkpath") ?? decodeName(field(block, 157, 100))}`;
  } else if (isSparse) problem = "a sparse file";
  else if (!REGULAR.has(type)) problem = `of the unknown type ${JSON.stringify(type)}`;

  const offset = queue.position;
  // These have no content, regardless of the size in their header.
  const stored = link !== undefined || NO_FILES.has(type) ? 0 : size;
  let left = stored + paddingOf(stored);
  const read = async () => {
    const bytes = await queue.take(stored);
    if (bytes.length < stored) throw new Error(`it ends inside ${name}`);
    left -= stored;
    return bytes;
  };
  const skipRest = async () => {
    if (!(await queue.skip(left))) throw new Error(`it ends inside ${name}`);
  };
  return { member: { name, size, offset, ...(problem !== undefined && { problem }), read }, skipRest };
}
