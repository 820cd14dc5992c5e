import { CLIP_PREPROCESSING, EvaClipError, type Preprocessing } from "../index";
import type { ConfigSource } from "../weights";
import { readJson } from "../io/json_file";

/** A model configuration from a published name or the path of a JSON file. */
export async function configFrom(source: string): Promise<ConfigSource> {
  if (!source.endsWith(".json")) return source;
  return (await readObject(source, "configuration")) as unknown as ConfigSource;
}

/** A preprocessing: CLIP's, or that of a JSON file, where it may be the field `preprocess_cfg`. */
export async function preprocessingFrom(source: string): Promise<Partial<Preprocessing>> {
  if (source === "clip") return CLIP_PREPROCESSING;
  const json = await readObject(source, "preprocessing");
  return (json.preprocess_cfg ?? json) as Partial<Preprocessing>;
}

async function readObject(path: string, what: string): Promise<Record<string, unknown>> {
  const json = await readJson(path);
  if (typeof json === "object" && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new EvaClipError("ERR_EVACLIP_INVALID_CONFIG", `${path} contains no ${what}`, { path });
}
