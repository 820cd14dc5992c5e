import { EvaClipError } from "../errors";
import { type ClipConfig, parseClipConfig } from "./clip_config";
import { ClipModel } from "./clip_model";
import { forwardGflops, type PerTower, parameterCounts } from "./model_cost";
import { type PublishedModel, publishedModels } from "./published_models";

/** A published model, and what it takes. */
export interface KnownModel extends Omit<PublishedModel, "config"> {
  readonly config: ClipConfig;
  readonly imageSize: number;
  readonly parameters: PerTower;
  /** Of the forward pass of one image and of one caption of full length, two for each multiplication and addition. */
  readonly gflops: PerTower;
}

/** Near names that an error lists. */
const SUGGESTIONS = 5;

/** Every published model. */
export function knownModels(): readonly KnownModel[] {
  return publishedModels.map((published) => {
    const config = parseClipConfig(published.config);
    return {
      ...published,
      config,
      imageSize: config.vision_cfg.image_size,
      parameters: parameterCounts(new ClipModel(config)),
      gflops: forwardGflops(config),
    };
  });
}

/**
 * The configuration of a published model, by its name or another one it is known by, in any case where that leaves
 * no doubt.
 * @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL` listing the names near to it.
 */
export function modelConfig(name: string): ClipConfig {
  const { config } = findPublished(name);
  return parseClipConfig(config);
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
  const message = `there is no model ${name}; near to it are ${near.join(", ")}`;
  throw new EvaClipError("ERR_EVACLIP_UNKNOWN_MODEL", message, { name, near });
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

/** The fewest letters to insert, remove or replace that make one text the other (Levenshtein 1966). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
