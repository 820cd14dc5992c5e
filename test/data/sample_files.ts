import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { pack } from "tar-stream";
import type { Dataset, EpochRequest, Sample } from "../../lib/data/dataset";
import { indexedDataset } from "../../lib/data/sources/indexed_dataset";

/** A folder that is removed after the tests of the file that calls this. */
export function temporaryFolder(): { readonly path: string } {
  const folder = { path: "" };
  beforeAll(async () => {
    folder.path = await mkdtemp(join(tmpdir(), "eva-clip-data-"));
  });
  afterAll(() => rm(folder.path, { recursive: true }));
  return folder;
}

/** Writes files by relative path, making their folders. */
export async function writeFiles(root: string, files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
}

/** Pixels that tell which image they are: red says the number, green and blue say where. */
export function numberedPixels(number: number, size = 8) {
  const data = Uint8Array.from(
    { length: size * size * 3 },
    (_, i) => [number, i % 251, (i * 7) % 256][i % 3]!,
  );
  return { data, width: size, height: size, channels: 3 as const };
}

export async function png(number: number, size = 8): Promise<Buffer> {
  const { data, ...raw } = numberedPixels(number, size);
  return sharp(data, { raw }).png().toBuffer();
}

/** A tar archive of the given members, in order. */
export async function tar(members: readonly (readonly [string, string | Buffer])[]): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of members) archive.entry({ name }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A data set in memory: image i has red = i and the caption "number i". */
export function numberedDataset(size: number, pixels = 8): Dataset {
  return indexedDataset({
    size,
    at: (i) => ({
      key: `sample ${i}`,
      read: async () => ({ image: numberedPixels(i, pixels), captions: [`number ${i}`] }),
    }),
  });
}

export async function collect<T>(items: AsyncIterable<T>, limit = Number.POSITIVE_INFINITY): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) {
    collected.push(item);
    if (collected.length === limit) break;
  }
  return collected;
}

/** Samples of one epoch, in the data set's order unless asked otherwise. */
export async function epochOf(dataset: Dataset, request: Partial<EpochRequest> = {}): Promise<Sample[]> {
  return collect(dataset.open({ seed: 0, epoch: 0, shuffle: false, ...request }));
}
