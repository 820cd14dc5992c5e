import { readFile, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { corrupt } from "./checkpoint_error";
import type { StoredTensor, TensorSource } from "./tensor_source";

const MAX_INDEX_BYTES = 100_000_000;

/** Several files, with an index of their tensors. */
class ShardedFile implements TensorSource {
  constructor(
    readonly path: string,
    readonly tensors: ReadonlyMap<string, StoredTensor>,
    private readonly shards: readonly TensorSource[],
  ) {}

  get format(): TensorSource["format"] {
    return this.shards[0]!.format;
  }

  /** Merged from all shards; where they differ, the last one's. */
  get metadata(): Readonly<Record<string, string>> {
    return Object.assign({}, ...this.shards.map(({ metadata }) => metadata));
  }

  async close(): Promise<void> {
    await Promise.all(this.shards.map((shard) => shard.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function staysInFolder(shard: string): boolean {
  return shard !== "" && !isAbsolute(shard) && !normalize(shard).startsWith("..");
}

/**
 * Of an index: tensor name → file.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` for an invalid index, or a shard outside its folder
 */
export async function readWeightMap(path: string): Promise<Map<string, string>> {
  const { size } = await stat(path);
  if (size > MAX_INDEX_BYTES) throw corrupt(path, `is ${size} bytes long, too long for an index`);
  let index: unknown;
  try {
    index = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw corrupt(path, `is not JSON: ${error.message}`);
  }
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map) || Object.keys(map).length === 0) {
    throw corrupt(path, "is not an index: expected a weight_map from tensor to file");
  }
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard === "string" && staysInFolder(shard)) continue;
    const found = JSON.stringify(shard);
    throw corrupt(path, `places "${tensor}" in ${found}; expected a file in the same folder`, { tensor });
  }
  return new Map(Object.entries(map as Record<string, string>));
}

/** The tensors of all shards: each from the shard that the index names; unlisted ones from the shard that has them. */
function collect(path: string, map: ReadonlyMap<string, string>, shards: ReadonlyMap<string, TensorSource>) {
  const tensors = new Map<string, StoredTensor>();
  for (const [shard, source] of shards) {
    for (const [name, tensor] of source.tensors) {
      if ((map.get(name) ?? shard) !== shard) continue;
      if (tensors.has(name)) {
        throw corrupt(
          path,
          `does not list "${name}", which more than one of its files has, ${shard} among them`,
          {
            tensor: name,
          },
        );
      }
      tensors.set(name, tensor);
    }
  }
  for (const [name, shard] of map) {
    if (!tensors.has(name))
      throw corrupt(path, `places "${name}" in ${shard}, which does not have it`, { tensor: name });
  }
  return tensors;
}

/**
 * Opens every file of an index with `openShard`.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` for an invalid index, a shard outside its folder, or a tensor missing
 *   from its shard; `ERR_EVACLIP_IO` for a missing shard
 */
export async function openShards(
  path: string,
  openShard: (path: string) => Promise<TensorSource>,
): Promise<TensorSource> {
  const map = await readWeightMap(path);
  const shards = new Map<string, TensorSource>();
  try {
    for (const shard of new Set(map.values())) {
      shards.set(shard, await openShard(join(dirname(path), shard)));
    }
    return new ShardedFile(path, collect(path, map, shards), [...shards.values()]);
  } catch (error) {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    throw error;
  }
}
