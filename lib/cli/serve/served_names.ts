import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { invalidArgument } from "../../arguments";
import { modelAndRest } from "../given_model";
import type { ServeFlags } from "./flags";

/** What requests call a model: the name of its file or folder, or the name that it was loaded by. */
function nameOf(path: string): string {
  if (!existsSync(path)) return path.replace(/^hf-hub:/, "");
  return basename(resolve(path)).replace(/\.(safetensors|pth?|bin)(\.index\.json)?$/, "");
}

/** The models of the command line, [name, path]. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function servedNames(
  words: readonly string[],
  flags: Pick<ServeFlags, "model" | "name">,
): [string, string][] {
  const { name: named = [] } = flags;
  const isNamed = named.length > 0 && flags.model === undefined && words.length === 0;
  const { model, rest } = isNamed ? { model: undefined, rest: [] } : modelAndRest(words, flags);
  const paths = model === undefined ? [] : [model, ...rest];
  const names = [...paths.map((path): [string, string] => [nameOf(path), path]), ...named];
  const twice = names.find(([name], i) => names.findIndex(([other]) => other === name) !== i);
  if (twice === undefined) return names;
  throw invalidArgument(`two models are named ${twice[0]}: name them with --name NAME=PATH`, {
    field: "name",
  });
}
