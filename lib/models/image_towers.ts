import { EvaClipError } from "../errors";
import { clipImageTower } from "./clip/clip_descriptor";
import { evaImageTower } from "./eva/eva_descriptor";
import type { AnyImageTower, ImageTowerConfig, ImageTowerDescriptor } from "./image_tower_descriptor";

/** In the order in which they are asked: a plain `vision_cfg` is CLIP's, so that comes last. */
const towers: AnyImageTower[] = [evaImageTower, clipImageTower];

/** Every family of image towers. */
export function imageTowers(): readonly AnyImageTower[] {
  return towers;
}

/**
 * Adds a family of image towers, for this process: configurations that it matches then make models, train, and are read
 * and written like published ones.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a name that is taken
 */
export function registerImageTower<Config extends ImageTowerConfig, Variant, Facts>(
  descriptor: ImageTowerDescriptor<Config, Variant, Facts>,
): void {
  const { name } = descriptor;
  if (towers.some((tower) => tower.name === name)) {
    const message = `registerImageTower: there already is an image tower named ${name}`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { name });
  }
  towers.unshift(descriptor);
}

/** The family of a `vision_cfg`, as stated or with its defaults. */
export function imageTowerOf(fields: Readonly<Record<string, unknown>>): AnyImageTower {
  return towers.find((tower) => tower.matches(fields)) ?? clipImageTower;
}
