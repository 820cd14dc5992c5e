import { dirname, join } from "node:path";
import { readJson } from "../../io/json_file";
import { statIfThere } from "../../io/model_path";
import type { TensorSource } from "../../io/tensor_source";

export const CONFIG_FILE = "config.json";
export const OPEN_CLIP_CONFIG_FILE = "open_clip_config.json";

/** The path of a file in the same folder as weights. */
export function pathBeside({ path }: Pick<TensorSource, "path">, name: string): string {
  return join(dirname(path), name);
}

/** A JSON file in the same folder; undefined when there is none. */
export async function jsonBeside(source: Pick<TensorSource, "path">, name: string): Promise<unknown> {
  const path = pathBeside(source, name);
  const found = await statIfThere(path);
  return found?.isFile() ? readJson(path) : undefined;
}
