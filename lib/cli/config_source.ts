import { EvaClipError } from "../index";
import type { ConfigSource } from "../weights";
import { readJson } from "../io/json_file";

/** A model configuration from a published name or the path of a JSON file. */
export async function configFrom(source: string): Promise<ConfigSource> {
  if (!source.endsWith(".json")) return source;
  const json = await readJson(source);
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as ConfigSource;
  throw new EvaClipError("ERR_EVACLIP_INVALID_CONFIG", `${source} contains no configuration`, {
    path: source,
  });
}
