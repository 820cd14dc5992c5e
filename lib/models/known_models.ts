import { checkArgument, shortened, text } from "../arguments";
import { EvaClipError } from "../errors";
import { editDistance } from "../suggestion";
import { type ClipConfig, parseClipConfig } from "./clip_config";
import { ClipModel } from "./clip_model";
import { forwardGflops, type PerTower, parameterCounts } from "./model_cost";
import { type PublishedModel, publishedModels } from "./published_models";

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
  const wanted = name.toLowerCase();
  return publishedModels.find((model) => namesOf(model).some((known) => known.toLowerCase() === wanted));
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
  const near = alike.length > 1 ? alike.map((model) => model.name) : nearestNames(name);
  const message = `unknown model ${shortened(name)}; did you mean ${near.join(", ")}?`;
  throw new EvaClipError("ERR_EVACLIP_UNKNOWN_MODEL", message, { name: shortened(name), near });
}

function nearestNames(name: string): string[] {
  const wanted = name.toLowerCase();
  const distanceOf = (model: PublishedModel) =>
    Math.min(...namesOf(model).map((known) => editDistance(wanted, known.toLowerCase())));
  return publishedModels
    .map((model) => ({ name: model.name, distance: distanceOf(model) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, SUGGESTIONS)
    .map((model) => model.name);
}
