import { finiteNumber, instanceOf, listOf, oneOf, options, ownArgument } from "../arguments";
import { Parameter } from "../parameter";
import type { TowerName } from "../parameter_role";

export interface TowerSettings {
  learningRate: number;
  weightDecay: number;
  /** lr(layer) = learningRate × layerDecay^(layers above). Default 1. */
  layerDecay?: number;
}

/** Settings per tower; `other` is for parameters outside the towers, such as the logit scale. */
export interface GroupSettings {
  image: TowerSettings;
  text: TowerSettings;
  other: TowerSettings;
}

export type Tower = keyof GroupSettings;

/** The optimizer settings of one parameter. */
export interface ParameterRule {
  parameter: Parameter;
  tower: Tower;
  /** layerDecay^(layers above), a factor of the learning rate. */
  layerScale: number;
  learningRate: number;
  /** 0 for parameters whose role has no decay: vectors, biases, norms, position embeddings and class tokens. */
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

/** The number of blocks of each tower. */
export function depthsOf(parameters: readonly Parameter[]): Record<TowerName, number> {
  const depths = { image: 0, text: 0 };
  for (const { role } of parameters) {
    if (role?.tower === undefined || typeof role.layer !== "number") continue;
    depths[role.tower] = Math.max(depths[role.tower], role.layer + 1);
  }
  return depths;
}

/**
 * The number of layers between a parameter and the output of its tower: depth - i for block i. As in EVA-CLIP, the norm
 * before the first block has the learning rate of the head.
 */
function layersAbove({ role }: Parameter, depth: number): number {
  if (role?.layer === "embedding") return depth + 1;
  return typeof role?.layer === "number" ? depth - role.layer : 0;
}

/**
 * The rules of EVA-CLIP (training/optim.py): layer-wise learning rate decay within each tower, and no weight decay for
 * vectors, biases, position embeddings and class tokens. A parameter without a role uses the settings of `other` without
 * weight decay.
 * @param all All parameters of the model, from which the tower depths are counted.
 * @param trained The parameters to update. Default: all.
 */
export function parameterRules(
  all: readonly Parameter[],
  given: GroupSettings,
  trained: readonly Parameter[] = all,
): ParameterRule[] {
  const depths = depthsOf(ownArgument("parameterRules: all", all, parameterList));
  const settings = ownArgument("parameterRules: settings", given, groupSettings);
  return ownArgument("parameterRules: trained", trained, parameterList).map((parameter) => {
    const { role } = parameter;
    const { learningRate, weightDecay, layerDecay = 1 } = settings[role?.tower ?? "other"];
    const above = role?.tower === undefined ? 0 : layersAbove(parameter, depths[role.tower]);
    const layerScale = layerDecay ** above;
    return {
      parameter,
      tower: role?.tower ?? "other",
      layerScale,
      learningRate: learningRate * layerScale,
      weightDecay: role?.decays ? weightDecay : 0,
    };
  });
}
