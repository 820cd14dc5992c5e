import { checkArgument, shortened, text } from "../arguments";
import { EvaClipError } from "../errors";
import { editDistance, suggestionFor } from "../suggestion";
import { type ClipConfig, parseClipConfig } from "./clip_config";
import { ClipModel } from "./clip_model";
import { forwardGflops, type PerTower, parameterCounts } from "./model_cost";
import { type PublishedModel, publishedModels } from "./published_models";
import { namesOfWeights, type PublishedWeights } from "./published_weights";

/** A published model and its cost. */
export interface KnownModel extends Omit<PublishedModel, "config"> {
  readonly config: ClipConfig;
  readonly imageSize: number;
  readonly parameters: PerTower;
  /** GFLOPs of the forward pass of one image and of one caption of full length; a multiply-add counts as two. */
  readonly gflops: PerTower;
}

/** The number of similar names that an error lists. */
const SUGGESTIONS = 5;
const LONGEST_NAME = 200;

/** Every published model. */
export function knownModels(): readonly KnownModel[] {
  return publishedModels.map((published) => {
    const config = parseClipConfig(published.config);
    const model = new ClipModel(config);
    return {
      ...published,
      config,
      imageSize: model.image.imageSize,
      parameters: parameterCounts(model),
      gflops: forwardGflops(model),
    };
  });
}

/**
 * The configuration of a published model, by its name or an alias; case matters only where it is ambiguous.
 * @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL` with similar names.
 */
export function modelConfig(name: string): ClipConfig {
  checkArgument("modelConfig: name", name, text);
  const { config } = findPublished(name);
  return parseClipConfig(config);
}

/** The published model of a name or an alias, whatever its case; the first one where several differ in case alone. */
export function modelNamed(name: string): PublishedModel | undefined {
  const known = (fits: (known: string) => boolean) =>
    publishedModels.find((model) => namesOf(model).some(fits));
  return known((each) => each === name) ?? known((each) => isSame(each, name));
}

const isSame = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

/** As open_clip compares them. */
const cleanTag = (tag: string) => tag.toLowerCase().replaceAll("-", "_");

/**
 * A model's weights by their tag. Those trained with QuickGELU are also found at the model without it, as in open_clip: their
 * own configuration says which activation they need.
 */
export function weightsOf({ name, weights }: PublishedModel): readonly PublishedWeights[] {
  const quick = publishedModels.find((model) => model.name === `${name}-quickgelu`);
  return [...weights, ...(quick?.weights ?? [])];
}

/**
 * The published weights of a name, or of an alias that names weights, such as a repository.
 * @param tag which of the model's weights; by default the named ones, or else those with the best result
 * @returns undefined for an unknown name
 * @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL` for an unknown tag, or a model without published weights
 */
export function weightsNamed(name: string, tag?: string): Pick<PublishedWeights, "source"> | undefined {
  const model = modelNamed(name);
  if (model === undefined) return undefined;
  const weights = weightsOf(model);
  if (tag === undefined) {
    const named = weights.find((each) => namesOfWeights(each).some((known) => isSame(known, name)));
    const repository = model.aliases.find((alias) => isSame(alias, name) && /^[a-z]+\//.test(alias));
    if (named ?? repository) return named ?? { source: repository! };
  }
  const wanted = tag ?? model.zeroShot?.weights;
  const found = weights.find((each) => wanted === undefined || cleanTag(each.tag) === cleanTag(wanted));
  if (found) return found;
  const tags = weights.map((each) => each.tag);
  const near = suggestionFor(tag ?? "", tags);
  const choice =
    tags.length > 0
      ? `: its weights are ${tags.join(", ")}`
      : ", nor any others: pass the path of its weights";
  const message = `${model.name} has no published weights${tag === undefined ? "" : ` ${shortened(tag)}`}${choice}`;
  const meant = near === undefined ? "" : `; did you mean ${near}?`;
  throw new EvaClipError("ERR_EVACLIP_UNKNOWN_MODEL", message + meant, { name: model.name, tag, tags });
}

function namesOf({ name, aliases }: PublishedModel): readonly string[] {
  return [name, ...aliases];
}

function findPublished(name: string): PublishedModel {
  const withName = (fits: (known: string) => boolean) =>
    publishedModels.filter((model) => namesOf(model).some(fits));
  const [exact] = withName((known) => known === name);
  if (exact) return exact;
  const alike = withName((known) => known.toLowerCase() === name.toLowerCase());
  if (alike.length === 1) return alike[0]!;
  const near = alike.length > 1 ? alike.map((model) => model.name) : nearestModels(name);
  const message = `unknown model ${shortened(name)}; ${adviceOf(near)}`;
  throw new EvaClipError("ERR_EVACLIP_UNKNOWN_MODEL", message, { name: shortened(name), near });
}

/** What to do about an unknown name that could have been one of these. */
export function adviceOf(meant: readonly string[]): string {
  return meant.length > 0 ? `did you mean ${meant.join(", ")}?` : "`eva-clip models` lists the names";
}

/** The published models whose names are closest to one, the closest first; none if more than half of the name differs. */
export function nearestModels(name: string): string[] {
  // Edit distance takes time proportional to the length, and a long input is not a typo.
  const wanted = name.slice(0, LONGEST_NAME).toLowerCase();
  const share = (known: string) =>
    editDistance(wanted, known.toLowerCase()) / Math.max(wanted.length, known.length);
  return publishedModels
    .map((model) => ({ name: model.name, differs: Math.min(...namesOf(model).map(share)) }))
    .filter(({ differs }) => differs <= 0.5)
    .sort((a, b) => a.differs - b.differs)
    .slice(0, SUGGESTIONS)
    .map((model) => model.name);
}
