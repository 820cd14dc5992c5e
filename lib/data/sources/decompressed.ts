import { setImmediate } from "node:timers/promises";
import { createGunzip } from "node:zlib";
import { Decompress } from "fzstd";
import { openRegularFile } from "../../io/regular_file";
import { whenFilesAreFree } from "../system_trouble";

/** Formats by magic bytes; those with advice are not supported. */
const FORMATS: readonly (readonly [name: string, start: string, advice?: string])[] = [
  ["gzip", "1f8b"],
  ["zstd", "28b52ffd"],
  ["zstd", "502a4d18"],
  ["bzip2", "425a68", "compress it with gzip or zstd instead"],
  ["xz", "fd377a585a00", "compress it with gzip or zstd instead"],
  ["LZ4", "04224d18", "compress it with gzip or zstd instead"],
  ["lzip", "4c5a4950", "compress it with gzip or zstd instead"],
  ["compress (.Z)", "1f9d", "compress it with gzip or zstd instead"],
  ["7z", "377abcaf271c", "unpack it"],
  ["RAR", "526172211a07", "unpack it"],
  ["ZIP", "504b0304", "unpack it"],
  ["Parquet", "50415231", "write its rows as JSON lines, or its images as WebDataset shards"],
  ["Arrow", "4152524f5731", "write its rows as JSON lines, or its images as WebDataset shards"],
  ["HDF5", "894844460d0a1a0a", "write its images as WebDataset shards"],
  ["Git LFS pointer", "76657273696f6e2068747470733a2f2f6769742d6c6673", "fetch it with `git lfs pull`"],
];

const START_BYTES = 512;
const READ_BYTES = 256 * 1024;
/** Compressed bytes decoded between two turns of the event loop; a block decodes to at most 128 KiB. */
const ZSTD_BYTES = 16 * 1024;

function formatOf(start: Buffer): (typeof FORMATS)[number] | undefined {
  const hex = start.toString("hex");
  // The low four bits of a zstd skippable frame's magic number are arbitrary.
  const comparable = /^5[0-9a-f]2a4d18/.test(hex) ? `50${hex.slice(2)}` : hex;
  return FORMATS.find(([, magic]) => comparable.startsWith(magic));
}

async function* unzstd(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const decoded: Buffer[] = [];
  const decoder = new Decompress((bytes) => {
    if (bytes.length > 0) decoded.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  });
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += ZSTD_BYTES) {
      decoder.push(chunk.subarray(at, at + ZSTD_BYTES));
      yield* decoded.splice(0);
      await setImmediate();
    }
  }
  decoder.push(new Uint8Array(0), true);
  yield* decoded.splice(0);
}

/**
 * The bytes of a data file, decompressed if its content is gzip or zstd, regardless of its name. Retries for a while if
 * too many files are open.
 *
 * @param isPlain recognizes uncompressed content by its first 512 bytes
 * @throws EvaClipError `ERR_EVACLIP_DATA` for a directory, FIFO, socket or device; Node's own errors for unreadable
 *   files; an Error that names an unsupported format
 */
export async function* readData(path: string, isPlain: (start: Buffer) => boolean): AsyncGenerator<Buffer> {
  await using file = await whenFilesAreFree(() => openRegularFile(path));
  const start = Buffer.alloc(START_BYTES);
  const { bytesRead } = await file.read(start, 0, START_BYTES, 0);
  const begun = start.subarray(0, bytesRead);
  const [name, , advice] = (isPlain(begun) ? undefined : formatOf(begun)) ?? [];
  if (advice !== undefined) throw new Error(`its format is ${name}, which is not supported: ${advice}`);
  const stored = file.createReadStream({ start: 0, highWaterMark: READ_BYTES });
  const unzipped = name === "gzip" ? createGunzip({ chunkSize: READ_BYTES }) : undefined;
  try {
    if (unzipped !== undefined) {
      stored.on("error", (error) => unzipped.destroy(error));
      yield* stored.pipe(unzipped);
    } else if (name === "zstd") yield* unzstd(stored);
    else yield* stored;
  } finally {
    unzipped?.destroy();
    stored.destroy();
  }
}
