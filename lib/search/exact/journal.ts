// What a build has done so far, in a file that is only appended to: a killed process loses at most the record that it was
// writing. A record is its length and checksum (u32 each), then the length of an entry's line (u32), the line, and the
// vector as f32. The first record states what the vectors have in common.
import { type FileHandle, open } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { statIfThere } from "../../io/model_path";
import { writeError } from "../../io/file_error";
import { MappedFile } from "../../io/mapped_file";
import type { IndexStatement, NewEntry } from "../index_writer";
import { expectStatement } from "../index_mismatch";
import { parseLine, type Place, statementShape } from "./index_file";

const FRAME_BYTES = 8;
const LENGTH_BYTES = 4;
/** Longest record: an entry has a caption and columns, not a book. */
const MOST_BYTES = 2 ** 26;
const TURN_MS = 8;

function framed(payload: Buffer): Buffer {
  const frame = Buffer.alloc(FRAME_BYTES);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(crc32(payload), 4);
  return Buffer.concat([frame, payload]);
}

function recordOf(line: string, vector: Float32Array): Buffer {
  const text = Buffer.from(line);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(text.length);
  return framed(
    Buffer.concat([length, text, Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)]),
  );
}

/** A whole record at `at`: the bytes [begin, end) of its payload. Undefined for one that is incomplete or damaged. */
function payloadAt(
  file: MappedFile,
  at: number,
): { payload: Buffer; begin: number; end: number } | undefined {
  const begin = at + FRAME_BYTES;
  if (begin > file.size) return undefined;
  const frame = Buffer.from(file.bytes(at, begin).buffer as ArrayBuffer);
  const end = begin + frame.readUInt32LE(0);
  if (end > file.size || end - begin > MOST_BYTES) return undefined;
  const payload = Buffer.from(file.bytes(begin, end).buffer as ArrayBuffer);
  return crc32(payload) === frame.readUInt32LE(4) ? { payload, begin, end } : undefined;
}

/** The statement of a journal, undefined if not even that was written, and where each entry lies. */
export interface JournalContents {
  readonly statement: IndexStatement | undefined;
  readonly places: ReadonlyMap<string, Omit<Place, "file">>;
  /** Bytes of whole records. */
  readonly bytes: number;
}

/** Reads a journal up to the first record that is not whole. */
export async function readJournal(file: MappedFile): Promise<JournalContents> {
  const places = new Map<string, Omit<Place, "file">>();
  const first = payloadAt(file, 0);
  const statement = first && statementShape.safeParse(JSON.parse(first.payload.toString())).data;
  let bytes = statement === undefined ? 0 : first!.end;
  let turned = performance.now();
  for (let at = bytes; statement !== undefined; ) {
    const found = payloadAt(file, at);
    if (found === undefined) break;
    const lineBytes = found.payload.readUInt32LE(0);
    const line = found.payload.subarray(LENGTH_BYTES, LENGTH_BYTES + lineBytes).toString();
    const { source, version } = parseLine(file.path, line);
    const lineAt = found.begin + LENGTH_BYTES;
    places.set(source, { version, lineAt, lineBytes, vectorAt: lineAt + lineBytes, dtype: "F32" });
    at = found.end;
    bytes = at;
    if (performance.now() - turned > TURN_MS) {
      await setImmediate();
      turned = performance.now();
    }
  }
  return { statement, places, bytes };
}

/** A journal that is open for appending. */
export class Journal {
  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    /** The versions that it has, by source. */
    readonly versions: Map<string, string>,
  ) {}

  /**
   * Creates a journal, or continues one after its last whole record.
   * @throws EvaClipError `ERR_EVACLIP_INDEX_MISMATCH` for one of another model or root
   */
  static async open(path: string, statement: IndexStatement): Promise<Journal> {
    const versions = new Map<string, string>();
    let bytes = 0;
    if ((await statIfThere(path)) !== undefined) {
      const mapped = await MappedFile.open(path);
      try {
        const found = await readJournal(mapped);
        if (found.statement !== undefined) expectStatement(path, found.statement, statement);
        for (const [source, { version }] of found.places) versions.set(source, version);
        bytes = found.bytes;
      } finally {
        mapped.close();
      }
    }
    try {
      const file = await open(path, "a");
      await file.truncate(bytes);
      if (bytes === 0) await file.appendFile(framed(Buffer.from(JSON.stringify(statement))));
      return new Journal(path, file, versions);
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** @param vectors [entries, E] */
  async append(entries: readonly NewEntry[], vectors: Float32Array): Promise<void> {
    const columns = vectors.length / entries.length;
    const records = entries.map((entry, i) =>
      recordOf(lineOf(entry), vectors.subarray(i * columns, (i + 1) * columns)),
    );
    try {
      await this.file.appendFile(Buffer.concat(records));
      await this.file.datasync();
    } catch (error) {
      throw writeError(this.path, error);
    }
    for (const { source, version } of entries) this.versions.set(source, version);
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** An entry as one line of JSON, without what is derived from its place. */
export function lineOf({ source, version, caption, metadata }: NewEntry): string {
  return JSON.stringify({ source, version, ...(caption !== undefined && { caption }), metadata });
}
