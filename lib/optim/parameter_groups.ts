import { finiteNumber, instanceOf, listOf, oneOf, options, ownArgument } from "../arguments";
import { Parameter } from "../parameter";

export interface TowerSettings {
  learningRate: number;
  weightDecay: number;
  /** Each layer learns this many times as fast as the next one; 1: all alike. */
  layerDecay?: number;
}

/** Settings by tower; `other` is for what belongs to neither, the logit scale. */
export interface GroupSettings {
  image: TowerSettings;
  text: TowerSettings;
  other: TowerSettings;
}

export type Tower = keyof GroupSettings;

/** How one parameter is updated. */
export interface ParameterRule {
  parameter: Parameter;
  tower: Tower;
  /** The layer decay's factor, which the learning rate contains. */
  layerScale: number;
  learningRate: number;
  /** 0 for a bias, norm, position or class token. */
  weightDecay: number;
}

const rate = finiteNumber.min(0);
const towerSettings = options({ learningRate: rate, weightDecay: rate, layerDecay: rate.optional() });
const groupSettings = options({ image: towerSettings, text: towerSettings, other: towerSettings });
export const parameterList = listOf(instanceOf(Parameter), "a list of parameters");
export const ruleList = listOf(
  options({
    parameter: instanceOf(Parameter),
    tower: oneOf("image", "text", "other"),
    layerScale: rate,
    learningRate: rate,
    weightDecay: rate,
  }),
  "a list of parameter rules",
);

/** What stands before the first block, at the layer that learns slowest. */
const FIRST_LAYER =
  /patch_embed|pos_embed|cls_token|mask_token|conv1|class_embedding|positional_embedding|token_embedding/;
const BLOCK = /blocks\.(\d+)\./;
const EXEMPT = /\.bias$|(^|\.)(pos_embed|cls_token|positional_embedding|logit_scale)$/;

export function towerOf(name: string): Tower {
  if (name === "logit_scale" || name === "logit_bias") return "other";
  return name.startsWith("visual.") ? "image" : "text";
}

/** The blocks of each tower. */
export function depthsOf(parameters: readonly Parameter[]): Record<Tower, number> {
  const found: Record<Tower, number> = { image: 0, text: 0, other: 0 };
  for (const { name } of parameters) {
    const index = BLOCK.exec(name)?.[1];
    const tower = towerOf(name);
    if (index !== undefined) found[tower] = Math.max(found[tower], Number(index) + 1);
  }
  return found;
}

/** 0 for the embeddings, i + 1 for block i, depth + 1 for what follows. */
export function layerOf(name: string, depth: number): number {
  if (FIRST_LAYER.test(name)) return 0;
  const index = BLOCK.exec(name)?.[1];
  return index === undefined ? depth + 1 : Number(index) + 1;
}

/**
 * The published rules of EVA-CLIP (training/optim.py): learning rates decay by layer within each tower; vectors,
 * biases, positions and class tokens have no weight decay.
 * @param all Every parameter of the model, from which the depths are counted.
 * @param trained Those to update; by default all.
 */
export function parameterRules(
  all: readonly Parameter[],
  given: GroupSettings,
  trained: readonly Parameter[] = all,
): ParameterRule[] {
  const depth = depthsOf(ownArgument("parameterRules: all", all, parameterList));
  const settings = ownArgument("parameterRules: settings", given, groupSettings);
  return ownArgument("parameterRules: trained", trained, parameterList).map((parameter) => {
    const { name, shape } = parameter;
    const tower = towerOf(name);
    const { learningRate, weightDecay, layerDecay = 1 } = settings[tower];
    const layersAbove = tower === "other" ? 0 : depth[tower] + 1 - layerOf(name, depth[tower]);
    const layerScale = layerDecay ** layersAbove;
    return {
      parameter,
      tower,
      layerScale,
      learningRate: learningRate * layerScale,
      weightDecay: shape.length <= 1 || EXEMPT.test(name) ? 0 : weightDecay,
    };
  });
}
