// The file of an exact index: safetensors with the vectors, the entries as lines of JSON, and where each line begins.
import { z } from "zod";
import { shortened } from "../../arguments";
import type { EvaClipError } from "../../errors";
import { corrupt } from "../../io/checkpoint_error";
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

export interface IndexFile {
  readonly file: SafetensorsFile;
  readonly statement: IndexStatement;
  /** [N, E] */
  readonly vectors: StoredTensor;
  /** U8, N lines */
  readonly entries: StoredTensor;
  /** I64 [N + 1]: the byte of `entries` that each line begins at, and the end. */
  readonly lines: StoredTensor;
}

export function metadataOf({ model, fingerprint, dimensions, root }: IndexStatement): Record<string, string> {
  return { format: FORMAT, model, fingerprint, dimensions: String(dimensions), root };
}

/** @throws EvaClipError as `openIndex` */
export async function openIndexFile(path: string): Promise<IndexFile> {
  const file = await openSafetensors(path);
  try {
    const { success, data: statement } = header.safeParse(file.metadata);
    if (!success) {
      const found = shortened(JSON.stringify(file.metadata));
      throw corrupt(path, `is not an index of eva-clip: its metadata is ${found}`);
    }
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
    return { file, statement, vectors, entries, lines };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The line of entry `id`. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` */
export function readEntry({ file, entries, lines }: IndexFile, id: number): StoredEntry {
  const mapped = entries.file;
  const at = lines.offset + 8 * id;
  const [begin, end] = new BigInt64Array(mapped.bytes(at, at + 16).buffer as ArrayBuffer);
  const fail = (problem: string) => corrupt(file.path, `is a broken index: entry ${id} ${problem}`);
  if (begin! < 0n || begin! > end! || end! > BigInt(entries.shape[0]!)) {
    throw fail(`lies at bytes ${begin} to ${end} of ${entries.shape[0]}`);
  }
  const line = Buffer.from(mapped.bytes(entries.offset + Number(begin), entries.offset + Number(end)));
  try {
    return storedEntry.parse(JSON.parse(line.toString()));
  } catch {
    throw fail(`is not an entry: ${shortened(line.toString())}`);
  }
}
