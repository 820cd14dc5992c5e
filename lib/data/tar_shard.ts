import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";

/** Files of a shard that share a name, by extension in lower case: `000123.jpg` and `000123.txt`. */
export interface ShardSample {
  readonly key: string;
  readonly members: ReadonlyMap<string, Buffer>;
}

const READ_BYTES = 256 * 1024;
const END_MARKER_BYTES = 512;
/** Everything before the first dot of the file name is the key, the rest the extension (the WebDataset convention). */
const MEMBER_NAME = /^(?:\.\/)?((?:.*\/)?[^./][^./]*)\.([^/]*)$/;

/** Counts the zero bytes that a stream ends with: a whole archive ends with a marker of zeros. */
class TrailingZeros {
  count = 0;

  see(chunk: Buffer): void {
    let end = chunk.length;
    while (end > 0 && chunk[end - 1] === 0 && chunk.length - end < END_MARKER_BYTES) end--;
    this.count = end === 0 ? this.count + chunk.length : chunk.length - end;
  }
}

async function bytesOf(entry: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of entry) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Files of a .tar, .tar.gz or .tgz with the wanted extensions. Throws when the archive is missing, broken or cut short. */
async function* membersOf(
  path: string,
  wanted: ReadonlySet<string>,
): AsyncGenerator<{ key: string; extension: string; bytes: Buffer | undefined }> {
  const archive = extract();
  const file = createReadStream(path, { highWaterMark: READ_BYTES });
  const source = /\.(tgz|gz)$/.test(path) ? file.pipe(createGunzip()) : file;
  const zeros = new TrailingZeros();
  for (const stream of [file, source]) stream.on("error", (error: Error) => archive.destroy(error));
  source.on("data", (chunk: Buffer) => zeros.see(chunk));
  source.pipe(archive);
  try {
    for await (const entry of archive) {
      const [, key, extension] = MEMBER_NAME.exec(entry.header.name) ?? [];
      const isFile = entry.header.type === "file" || entry.header.type === "contiguous-file";
      if (key === undefined || extension === undefined || !isFile) {
        entry.resume();
        continue;
      }
      const isWanted = wanted.has(extension.toLowerCase());
      if (!isWanted) entry.resume();
      yield { key, extension: extension.toLowerCase(), bytes: isWanted ? await bytesOf(entry) : undefined };
    }
    if (zeros.count < END_MARKER_BYTES) throw new Error("Unexpected end of data: no end-of-archive marker");
  } finally {
    file.destroy();
    source.destroy();
    archive.destroy();
  }
}

/**
 * Samples of one shard in file order: neighbouring members of the same key. When the archive turns out broken, the
 * sample it breaks in is not given, and the error is thrown after the ones before it.
 */
export async function* readShard(path: string, wanted: ReadonlySet<string>): AsyncGenerator<ShardSample> {
  let sample: { key: string; members: Map<string, Buffer> } | undefined;
  for await (const { key, extension, bytes } of membersOf(path, wanted)) {
    if (sample !== undefined && sample.key !== key) {
      yield sample;
      sample = undefined;
    }
    sample ??= { key, members: new Map() };
    if (bytes !== undefined) sample.members.set(extension, bytes);
  }
  if (sample !== undefined) yield sample;
}
