import { isAbsolute, relative, resolve, sep } from "node:path";
import { readData } from "../../data/sources/decompressed";
import { isTarHeader, tarMembers } from "../../data/sources/webdataset/tar_reader";
import { SampleError } from "../../sample_error";
import { openRegularFile, readRegularFile } from "../../io/regular_file";

/** `shard.tar#key` */
const IN_SHARD = /^(.+\.(?:tar|tgz|tar\.gz|tar\.zst))#(.+)$/s;
/** Extensions of a sample's image, as `openDataset` looks for them. */
const IMAGE_MEMBER = /\.(jpg|png|jpeg|webp)$/i;
/** Positions of a shard's images are kept for this many shards: a few megabytes each. */
const MOST_SHARDS = 16;
const TAR_BLOCK = 512;

interface Position {
  readonly offset: number;
  readonly size: number;
}

function missing(source: string, reason: string): SampleError {
  return new SampleError("missing_file", `cannot read the image ${source}: ${reason}`, { path: source });
}

/** A path inside `root`. An index may come from anywhere, so its sources are not trusted to stay there. */
function inside(root: string, source: string): string {
  const path = resolve(root, source);
  const from = relative(root, path);
  if (isAbsolute(source) || isAbsolute(from) || from === ".." || from.startsWith(`..${sep}`))
    throw missing(source, "it is outside the folder of the index");
  return path;
}

/** Reads the images of an index's entries, and nothing else of the file system. */
export class EntryImages {
  /** By path, the least recently used first. */
  readonly #shards = new Map<string, Promise<ReadonlyMap<string, Position>>>();

  /** @param root folder that sources are relative to */
  constructor(private readonly root: string) {}

  /**
   * The bytes of an image file.
   * @param source of an entry: a path relative to the root, or `shard.tar#key`
   * @throws EvaClipError, SampleError for an image that is not there
   */
  async read(source: string): Promise<Uint8Array> {
    const [, shard, key] = IN_SHARD.exec(source) ?? [];
    return shard === undefined || key === undefined
      ? readRegularFile(inside(this.root, source))
      : this.#readMember(source, inside(this.root, shard), key);
  }

  async #readMember(source: string, path: string, key: string): Promise<Uint8Array> {
    const position = (await this.#positionsIn(path)).get(key);
    if (position === undefined) throw missing(source, "the shard has no such image");
    await using file = await openRegularFile(path);
    const bytes = Buffer.alloc(position.size);
    const { bytesRead } = await file.read(bytes, 0, position.size, position.offset);
    if (bytesRead < position.size) throw missing(source, "the shard is shorter than it was");
    return bytes;
  }

  #positionsIn(path: string): Promise<ReadonlyMap<string, Position>> {
    const positions = this.#shards.get(path) ?? positionsOf(path);
    this.#shards.delete(path);
    this.#shards.set(path, positions);
    positions.catch(() => this.#shards.delete(path));
    const [oldest] = this.#shards.keys();
    if (this.#shards.size > MOST_SHARDS) this.#shards.delete(oldest!);
    return positions;
  }
}

/** Where a shard's images are, by key. */
async function positionsOf(path: string): Promise<ReadonlyMap<string, Position>> {
  await using file = await openRegularFile(path);
  const { buffer } = await file.read(Buffer.alloc(TAR_BLOCK), 0, TAR_BLOCK, 0);
  // A position in the decompressed archive leads nowhere in the file.
  if (!isTarHeader(buffer)) throw missing(path, "it is in a compressed shard");
  const positions = new Map<string, Position>();
  for await (const { name, offset, size, problem } of tarMembers(readData(path, isTarHeader))) {
    const key = name.replace(/^\.\//, "").replace(IMAGE_MEMBER, "");
    if (problem === undefined && IMAGE_MEMBER.test(name) && !positions.has(key))
      positions.set(key, { offset, size });
  }
  return positions;
}
