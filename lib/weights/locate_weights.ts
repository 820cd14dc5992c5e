import { invalidArgument, shortened } from "../arguments";
import { EvaClipError } from "../errors";
import { fetchModel } from "../hub/fetch_model";
import { HUB_PREFIX, parseHubReference } from "../hub/hub_reference";
import type { HubOptions } from "../hub/repository";
import { statIfThere, statModelPath } from "../io/model_path";
import { adviceOf, modelNamed, nearestModels, weightsNamed } from "../models/known_models";
import { checkStatedModel } from "./config/stated_model";

export interface LocateOptions extends HubOptions {
  /** Which of a published model's weights, by open_clip's tag. Default: those with the best result. */
  readonly pretrained?: string;
}

/** Names of models and repositories have at most one slash and none of these extensions. */
const LOOKS_LIKE_PATH = /\.(safetensors|json|pt|pth|bin|ckpt)$|^[.~]?\/|^\.\.|\/.*\/|\/$/;

/** The error for a name that nothing has. */
async function unknownModel(name: string): Promise<EvaClipError> {
  if (LOOKS_LIKE_PATH.test(name)) {
    return statModelPath(name).then(
      () => new EvaClipError("ERR_EVACLIP_IO", `cannot open ${shortened(name)}`, { path: name }),
      (error: EvaClipError) => error,
    );
  }
  const near = nearestModels(name);
  const onHub = name.includes("/") ? [`${HUB_PREFIX}${shortened(name)} for a repository of the hub`] : [];
  const message =
    `${shortened(name)} is neither a file nor a published model: unknown model ${shortened(name)}; ` +
    adviceOf([...near, ...onHub]);
  return new EvaClipError("ERR_EVACLIP_UNKNOWN_MODEL", message, { name: shortened(name), near });
}

/**
 * The path of weights on this machine: a path is its own, whatever it is called; a published name, an alias and
 * `hf-hub:OWNER/NAME` are downloaded into the cache of the hub.
 * @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL`, `ERR_EVACLIP_HUB_…`; `ERR_EVACLIP_IO` for a path that does not exist
 */
export async function locateWeights(name: string, options: LocateOptions): Promise<string> {
  const { pretrained } = options;
  const found = await statIfThere(name);
  const asked = found ? undefined : parseHubReference(name);
  if (pretrained !== undefined && (found || asked)) {
    const kind = found ? "a path" : "a repository";
    const message = `pretrained chooses among the weights of a published model, but ${shortened(name)} is ${kind}`;
    throw invalidArgument(message, { field: "pretrained", found: pretrained });
  }
  if (found) return name;
  const source = asked ? undefined : weightsNamed(name, pretrained)?.source;
  const reference = asked ?? (source && parseHubReference(`${HUB_PREFIX}${source}`));
  if (!reference) throw await unknownModel(name);
  return fetchModel(reference, options, checkStatedModel);
}

/** Whether a name is that of a published model and of nothing on this machine. */
export async function isPublishedName(name: string): Promise<boolean> {
  return (await statIfThere(name)) === undefined && modelNamed(name) !== undefined;
}
