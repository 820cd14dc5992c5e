import { dirname, extname } from "node:path";
import { makeFolder } from "../../io/make_folder";
import { replaceFile } from "../../io/replace_file";

export interface Embedding {
  readonly kind: "image" | "text";
  readonly input: string;
  readonly values: Float32Array; // [E]
}

/** Bytes of an `.npy` header (version 1.0) before its text; with it, a multiple of 64 (NEP 1). */
const PREFIX_BYTES = 10;

/** The header of an array f32 [rows, columns] in C order. */
export function npyHeader(rows: number, columns: number): Buffer {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  const length = Math.ceil((PREFIX_BYTES + text.length + 1) / 64) * 64 - PREFIX_BYTES;
  const prefix = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, length & 255, length >> 8]);
  return Buffer.concat([prefix, Buffer.from(`${text.padEnd(length - 1)}\n`, "latin1")]);
}

const asNpy = ({ values }: Embedding) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
const asJsonLine = ({ kind, input, values }: Embedding) =>
  Buffer.from(`${JSON.stringify({ kind, input, embedding: Array.from(values) })}\n`);

export const isEmbeddingsFile = (path: string) => /\.(npy|jsonl)$/i.test(path);

/**
 * Writes embeddings as they are computed: `.npy` f32 [rows, columns], or `.jsonl` with one `{kind, input, embedding}` per line. The
 * file replaces one of its name when it is complete.
 * @throws EvaClipError `ERR_EVACLIP_IO`, `ERR_EVACLIP_DISK_FULL`, and what making the embeddings throws
 */
export async function writeEmbeddings(
  path: string,
  { rows, columns }: { rows: number; columns: number },
  embeddings: AsyncIterable<Embedding>,
): Promise<void> {
  const isNpy = extname(path).toLowerCase() === ".npy";
  await makeFolder(dirname(path));
  await replaceFile(path, async (file) => {
    if (isNpy) await file.appendFile(npyHeader(rows, columns));
    for await (const embedding of embeddings)
      await file.appendFile(isNpy ? asNpy(embedding) : asJsonLine(embedding));
  });
}
