import type { FileHandle } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";
import type { Fail } from "../checkpoint_error";
import type { MappedFile } from "../mapped_file";

/** An entry and its byte range in the file. */
export interface ZipEntry {
  readonly name: string;
  readonly begin: number;
  readonly bytes: number;
  /** False for a compressed entry, whose `bytes` in the file are not its content. */
  readonly isStored: boolean;
  /** CRC-32 of the content; 0 if the writer did not compute it, which is an option of PyTorch. */
  readonly checksum: number;
}

interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly method: number;
  readonly checksum: number;
  readonly bytes: number;
  readonly header: number;
}

interface Directory {
  readonly count: number;
  readonly bytes: number;
  readonly begin: number;
  /** Start of the records after the directory. */
  readonly end: number;
}

/** Signatures and sizes of APPNOTE.TXT, the specification of ZIP, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16. */
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const CENTRAL = { signature: 0x02014b50, bytes: 46 };
const END = { signature: 0x06054b50, bytes: 22 };
const ZIP64_LOCATOR = { signature: 0x07064b50, bytes: 20 };
const ZIP64_END = { signature: 0x06064b50, bytes: 56 };
const ZIP64_EXTRA = 0x0001;
const MAX_COMMENT_BYTES = 0xffff;
const SEE_ZIP64_16 = 0xffff;
const SEE_ZIP64_32 = 0xffffffff;
const ENCRYPTED_FLAGS = 0x2041;
const STORED = 0;

/** At about a hundred bytes per entry, more than any checkpoint has. */
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;
const HEADERS_AT_ONCE = 64;
/** Read and checksummed between two turns of the event loop. */
const CHECKED_BYTES = 1 << 18;

/** Bytes [begin, begin + length) of a file that is at least that long. */
export async function readRange(
  file: FileHandle,
  begin: number,
  length: number,
  fail: Fail,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, begin + done);
    if (bytesRead === 0)
      throw fail("CORRUPT", `ends at byte ${begin + done}: it was truncated while being read`);
    done += bytesRead;
  }
  return bytes;
}

/**
 * Lists the entries of a ZIP or ZIP64 archive by name, with their byte ranges. The archive must fill its file, the
 * directory must agree with each entry's own header, and entries may not overlap.
 *
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_CORRUPT naming the entry, what was expected and found
 */
export async function readZipArchive(
  file: FileHandle,
  fileBytes: number,
  fail: Fail,
): Promise<ReadonlyMap<string, ZipEntry>> {
  const directory = await findDirectory(file, fileBytes, fail);
  const listed = parseDirectory(
    await readRange(file, directory.begin, directory.bytes, fail),
    directory,
    fail,
  );
  listed.sort((a, b) => a.header - b.header);
  const entries = new Map<string, ZipEntry>();
  for (let start = 0; start < listed.length; start += HEADERS_AT_ONCE) {
    const located = listed.slice(start, start + HEADERS_AT_ONCE).map((entry, i) => {
      const limit = listed[start + i + 1]?.header ?? directory.begin;
      return locateEntry(file, entry, limit, fail);
    });
    for (const entry of await Promise.all(located)) {
      if (entries.has(entry.name)) throw fail("CORRUPT", `has two entries "${entry.name}"`);
      entries.set(entry.name, entry);
    }
  }
  return entries;
}

/**
 * Reads a stored entry and verifies its checksum.
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_CORRUPT naming the entry; ERR_EVACLIP_IO when the file has been truncated
 */
export async function checkEntry(file: MappedFile, entry: ZipEntry, fail: Fail): Promise<void> {
  const { begin, bytes, checksum } = entry;
  if (checksum === 0) return;
  // Reused, because allocating costs more than reading and checksumming.
  const part = new Uint8Array(Math.min(CHECKED_BYTES, bytes));
  let found = 0;
  for (let done = 0; done < bytes; done += part.length) {
    const left = part.subarray(0, bytes - done);
    file.read(begin + done, left);
    found = crc32(left, found);
    await setImmediate();
  }
  compareChecksum(entry, found, fail);
}

/** The content of a small stored entry, its checksum verified. */
export async function readEntry(file: FileHandle, entry: ZipEntry, fail: Fail): Promise<Buffer> {
  const content = await readRange(file, entry.begin, entry.bytes, fail);
  if (entry.checksum !== 0) compareChecksum(entry, crc32(content), fail);
  return content;
}

function compareChecksum({ name, checksum }: ZipEntry, found: number, fail: Fail): void {
  if (found === checksum) return;
  const [is, expected] = [found, checksum].map((sum) => sum.toString(16).padStart(8, "0"));
  throw fail("CORRUPT", `is damaged: "${name}" has the checksum ${is}, expected ${expected}`, {
    entry: name,
  });
}

async function findDirectory(file: FileHandle, fileBytes: number, fail: Fail): Promise<Directory> {
  const tailBytes = Math.min(fileBytes, MAX_COMMENT_BYTES + END.bytes + ZIP64_LOCATOR.bytes);
  const tailBegin = fileBytes - tailBytes;
  const tail = await readRange(file, tailBegin, tailBytes, fail);
  const at = findEnd(tail);
  if (at < 0)
    throw fail("CORRUPT", `is truncated or damaged: its ${fileBytes} bytes do not end with a ZIP directory`);
  const short = {
    disks: tail.readUInt32LE(at + 4),
    count: tail.readUInt16LE(at + 10),
    bytes: tail.readUInt32LE(at + 12),
    begin: tail.readUInt32LE(at + 16),
  };
  if (short.disks !== 0 && short.disks !== SEE_ZIP64_32)
    throw fail("CORRUPT", "is one part of a split archive");
  const locator = at - ZIP64_LOCATOR.bytes;
  const isZip64 = locator >= 0 && tail.readUInt32LE(locator) === ZIP64_LOCATOR.signature;
  const needsZip64 =
    short.count === SEE_ZIP64_16 || short.bytes === SEE_ZIP64_32 || short.begin === SEE_ZIP64_32;
  if (needsZip64 && !isZip64) throw fail("CORRUPT", "lacks the ZIP64 record that its directory refers to");
  const directory = isZip64
    ? await readZip64End(file, tailBegin + locator, tail.readBigUInt64LE(locator + 8), fail)
    : { ...short, end: tailBegin + at };
  const { begin, bytes, count, end } = directory;
  if (begin + bytes !== end) {
    throw fail(
      "CORRUPT",
      `has a ZIP directory of ${bytes} bytes at byte ${begin}, expected one that ends at byte ${end}`,
    );
  }
  if (bytes > MAX_DIRECTORY_BYTES || count * CENTRAL.bytes > bytes) {
    throw fail("CORRUPT", `has a ZIP directory of ${count} entries in ${bytes} bytes`);
  }
  return directory;
}

/** The offset of the end record whose comment ends exactly at the end of the file, or -1. */
function findEnd(tail: Buffer): number {
  for (let at = tail.length - END.bytes; at >= 0; at--) {
    const isRecord = tail.readUInt32LE(at) === END.signature;
    if (isRecord && at + END.bytes + tail.readUInt16LE(at + 20) === tail.length) return at;
  }
  return -1;
}

async function readZip64End(
  file: FileHandle,
  locator: number,
  place: bigint,
  fail: Fail,
): Promise<Directory> {
  if (place + BigInt(ZIP64_END.bytes) > BigInt(locator)) {
    throw fail("CORRUPT", `places its ZIP64 record at byte ${place}, expected it before byte ${locator}`);
  }
  const end = Number(place);
  const record = await readRange(file, end, ZIP64_END.bytes, fail);
  if (record.readUInt32LE(0) !== ZIP64_END.signature || record.readBigUInt64LE(16) !== 0n) {
    throw fail("CORRUPT", `has no ZIP64 record at byte ${end}, where its locator places one`);
  }
  return {
    count: Number(record.readBigUInt64LE(32)),
    bytes: Number(record.readBigUInt64LE(40)),
    begin: Number(record.readBigUInt64LE(48)),
    end,
  };
}

function parseDirectory(bytes: Buffer, { count }: Directory, fail: Fail): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  let at = 0;
  while (entries.length < count) {
    if (at + CENTRAL.bytes > bytes.length || bytes.readUInt32LE(at) !== CENTRAL.signature) {
      throw fail("CORRUPT", `has no entry ${entries.length} in its ZIP directory, expected ${count} entries`);
    }
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) =>
      bytes.readUInt16LE(at + field),
    ) as [number, number, number];
    const extraBegin = at + CENTRAL.bytes + nameBytes;
    const end = extraBegin + extraBytes + commentBytes;
    if (end > bytes.length)
      throw fail("CORRUPT", `has a ZIP directory that ends inside entry ${entries.length}`);
    if ((bytes.readUInt16LE(at + 8) & ENCRYPTED_FLAGS) !== 0)
      throw fail("UNSUPPORTED", "has encrypted entries");
    entries.push({
      name: bytes.subarray(at + CENTRAL.bytes, extraBegin),
      method: bytes.readUInt16LE(at + 10),
      checksum: bytes.readUInt32LE(at + 16),
      ...readSizes(bytes.subarray(at, end), bytes.subarray(extraBegin, extraBegin + extraBytes), fail),
    });
    at = end;
  }
  if (at !== bytes.length)
    throw fail("CORRUPT", `has ${bytes.length - at} bytes after the last entry of its ZIP directory`);
  return entries;
}

/** Size in the file and offset of the header. A field that is all ones is in the ZIP64 field instead, in this order. */
function readSizes(record: Buffer, extra: Buffer, fail: Fail): { bytes: number; header: number } {
  const long = zip64Field(extra, fail);
  let at = 0;
  const size = (field: number) => {
    const short = record.readUInt32LE(field);
    if (short !== SEE_ZIP64_32) return short;
    if (at + 8 > long.length)
      throw fail("CORRUPT", "has an entry in its ZIP directory without the ZIP64 sizes");
    at += 8;
    return Number(long.readBigUInt64LE(at - 8));
  };
  const content = size(24);
  const bytes = size(20);
  const header = size(42);
  if (record.readUInt16LE(10) === STORED && content !== bytes) {
    throw fail("CORRUPT", `has a stored entry of ${content} bytes that takes ${bytes} in the file`);
  }
  return { bytes, header };
}

function zip64Field(extra: Buffer, fail: Fail): Buffer {
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (end > extra.length)
      throw fail("CORRUPT", "has an entry in its ZIP directory whose extra field is cut off");
    if (extra.readUInt16LE(at) === ZIP64_EXTRA) return extra.subarray(at + 4, end);
    at = end;
  }
  return extra.subarray(0, 0);
}

/** Checks an entry's own header, and that header and content end before `limit`, the start of whatever follows. */
async function locateEntry(
  file: FileHandle,
  { name, method, checksum, bytes, header }: DirectoryEntry,
  limit: number,
  fail: Fail,
): Promise<ZipEntry> {
  const shown = Buffer.from(name).toString("utf8");
  const headerBytes = LOCAL.bytes + name.length;
  if (header + headerBytes + bytes > limit) {
    throw fail(
      "CORRUPT",
      `has the entry "${shown}" of ${bytes} bytes at byte ${header}, expected it to end before ${limit}`,
    );
  }
  const local = await readRange(file, header, headerBytes, fail);
  const isSame =
    local.readUInt32LE(0) === LOCAL.signature &&
    local.readUInt16LE(8) === method &&
    local.readUInt16LE(26) === name.length &&
    local.subarray(LOCAL.bytes).equals(name);
  if (!isSame)
    throw fail("CORRUPT", `has no header of "${shown}" at byte ${header}, where its ZIP directory places it`);
  const begin = header + headerBytes + local.readUInt16LE(28);
  if (begin + bytes > limit) {
    throw fail(
      "CORRUPT",
      `has the entry "${shown}" of ${bytes} bytes at byte ${begin}, expected it to end before ${limit}`,
    );
  }
  return { name: shown, begin, bytes, isStored: method === STORED, checksum };
}
