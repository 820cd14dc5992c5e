import { posix } from "node:path";
import { MODEL_FILES } from "../io/open_tensors";
import { hubError } from "./hub_error";
import { type HubReference, hubName } from "./hub_reference";

const WEIGHTS = /\.(safetensors|bin|pt|pth)(\.index\.json)?$/;
const MOST_LISTED = 10;

/**
 * Usual names in a repository, in order of preference. Beside open_clip's file, `model.safetensors` may be the image tower
 * alone, as in the repositories of timm.
 */
const USUAL = [...MODEL_FILES].sort(
  (a, b) => Number(b.startsWith("open_clip")) - Number(a.startsWith("open_clip")),
);

/**
 * The file of weights that is meant by a reference: the one that it names, the only one, or the one with a usual name.
 * @throws EvaClipError `ERR_EVACLIP_HUB_NOT_FOUND` listing the files to choose from
 */
export function chooseWeights(files: readonly string[], asked: HubReference): string {
  const { repository, revision = "main", file } = asked;
  if (file !== undefined && files.includes(file)) return file;
  const folder = file ?? ".";
  const inside = files.filter((path) => posix.dirname(path) === folder);
  const place = file === undefined ? repository : `${repository}/${file}`;
  if (file !== undefined && inside.length === 0) {
    const message = `${repository} has no file ${file} at revision ${revision}${listed(files)}`;
    throw hubError("ERR_EVACLIP_HUB_NOT_FOUND", message, asked);
  }
  const usual = USUAL.map((name) => posix.join(folder, name)).find((path) => inside.includes(path));
  if (usual !== undefined) return usual;
  const weights = inside.filter((path) => WEIGHTS.test(path));
  if (weights.length === 1) return weights[0]!;
  const problem =
    weights.length === 0 ? "has no weights" : "has several files of weights, none with a usual name";
  const advice = `name one, as in ${hubName({ ...asked, file: weights[0] ?? "FILE" })}`;
  throw hubError("ERR_EVACLIP_HUB_NOT_FOUND", `${place} ${problem}${listed(files)}; ${advice}`, asked);
}

function listed(files: readonly string[]): string {
  const weights = files.filter((path) => WEIGHTS.test(path));
  if (weights.length === 0) return "";
  const more = weights.length > MOST_LISTED ? `, and ${weights.length - MOST_LISTED} more` : "";
  return `: its weights are ${weights.slice(0, MOST_LISTED).join(", ")}${more}`;
}
