// The file of an exact index: safetensors with the vectors, the entries as lines of JSON, and where each line begins.
import { z } from "zod";
import { shortened } from "../../arguments";
import type { EvaClipError } from "../../errors";
import { corrupt } from "../../io/checkpoint_error";
import type { MappedFile } from "../../io/mapped_file";
import type { NativeStoredDtype } from "../../native";
import { openSafetensors, type SafetensorsFile } from "../../io/safetensors";
import { isFloatDtype, type StoredTensor } from "../../io/tensor_source";
import type { IndexStatement } from "../index_writer";

export const FORMAT = "eva-clip index 1";

/** The metadata of the file, whose values are strings. */
const header = z.object({
  format: z.literal(FORMAT),
  model: z.string(),
  fingerprint: z.string(),
  dimensions: z
    .string()
    .regex(/^[1-9]\d{0,8}$/)
    .transform(Number),
  root: z.string(),
  listing: z.string().optional(),
});

/** As JSON, in a journal. */
export const statementShape = z.object({
  model: z.string(),
  fingerprint: z.string(),
  dimensions: z.int().positive(),
  root: z.string(),
});

const metadataValue = z.union([z.string(), z.number(), z.boolean(), z.null()]);

/** A line of `entries`. */
export const storedEntry = z.object({
  source: z.string(),
  version: z.string(),
  caption: z.string().optional(),
  metadata: z.record(z.string(), metadataValue),
});
export type StoredEntry = z.infer<typeof storedEntry>;

/** Where the line and the vector of an entry are. */
export interface Place {
  readonly file: MappedFile;
  readonly version: string;
  /** Byte offset and length of its line. */
  readonly lineAt: number;
  readonly lineBytes: number;
  /** Byte offset of its vector. */
  readonly vectorAt: number;
  readonly dtype: NativeStoredDtype;
}

export interface IndexFile {
  readonly file: SafetensorsFile;
  readonly statement: IndexStatement;
  /** Of a part: a hash of the data set's images, so that only parts of the same data set are joined. */
  readonly listing: string | undefined;
  /** [N, E] */
  readonly vectors: StoredTensor;
  /** U8, N lines */
  readonly entries: StoredTensor;
  /** I64 [N + 1]: the byte of `entries` that each line begins at, and the end. */
  readonly lines: StoredTensor;
}

export function metadataOf(
  { model, fingerprint, dimensions, root }: IndexStatement,
  listing?: string,
): Record<string, string> {
  const own = { format: FORMAT, model, fingerprint, dimensions: String(dimensions), root };
  return { ...own, ...(listing !== undefined && { listing }) };
}

/** @throws EvaClipError as `openIndex` */
export async function openIndexFile(path: string): Promise<IndexFile> {
  const file = await openSafetensors(path);
  try {
    const parsed = header.safeParse(file.metadata);
    if (!parsed.success) {
      const found = shortened(JSON.stringify(file.metadata));
      throw corrupt(path, `is not an index of eva-clip: its metadata is ${found}`);
    }
    const { format, listing, ...statement } = parsed.data;
    const fail = (problem: string): EvaClipError => corrupt(path, `is a broken index: ${problem}`);
    const tensor = (name: string): StoredTensor => {
      const found = file.tensors.get(name);
      if (found === undefined) throw fail(`it has no tensor "${name}"`);
      return found;
    };
    const [vectors, entries, lines] = [tensor("vectors"), tensor("entries"), tensor("lines")];
    const [count = -1, columns] = vectors.shape;
    if (vectors.shape.length !== 2 || columns !== statement.dimensions || !isFloatDtype(vectors.dtype)) {
      throw fail(
        `its vectors are ${vectors.dtype} [${vectors.shape}], expected [N, ${statement.dimensions}]`,
      );
    }
    if (lines.dtype !== "I64" || lines.shape.length !== 1 || lines.shape[0] !== count + 1) {
      throw fail(`the lines of its entries are ${lines.dtype} [${lines.shape}], expected I64 [${count + 1}]`);
    }
    if (entries.dtype !== "U8" || entries.shape.length !== 1) {
      throw fail(`its entries are ${entries.dtype} [${entries.shape}], expected U8 [bytes]`);
    }
    return { file, statement, listing, vectors, entries, lines };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The line of entry `id`, and its place in the file. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` */
export function readLine(
  { file, entries, lines }: IndexFile,
  id: number,
): { line: string; at: number; bytes: number } {
  const mapped = entries.file;
  const offset = lines.offset + 8 * id;
  const [begin, end] = new BigInt64Array(mapped.bytes(offset, offset + 16).buffer as ArrayBuffer);
  if (begin! < 0n || begin! > end! || end! > BigInt(entries.shape[0]!)) {
    const place = `entry ${id} lies at bytes ${begin} to ${end} of ${entries.shape[0]}`;
    throw corrupt(file.path, `is a broken index: ${place}`, { entry: id });
  }
  const at = entries.offset + Number(begin);
  const bytes = Number(end! - begin!);
  return { line: Buffer.from(mapped.bytes(at, at + bytes)).toString(), at, bytes };
}

/** @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` */
export function parseLine(path: string, line: string): StoredEntry {
  try {
    return storedEntry.parse(JSON.parse(line));
  } catch {
    throw corrupt(path, `is a broken index: an entry is ${shortened(line)}`);
  }
}

export function readEntry(index: IndexFile, id: number): StoredEntry {
  return parseLine(index.file.path, readLine(index, id).line);
}
