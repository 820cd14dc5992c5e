import { finiteNumber, instanceOf, listOf, oneOf, options, ownArgument } from "../arguments";
import { Parameter } from "../parameter";
import type { TowerName } from "../parameter_role";

export interface TowerSettings {
  learningRate: number;
  weightDecay: number;
  /** lr(layer) = learningRate × layerDecay^(layers above). Default 1. */
  layerDecay?: number;
}

/** Settings by tower; `other` is for parameters of no tower, such as the logit scale. */
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
  /** layerDecay^(layers above), a factor of the learning rate. */
  layerScale: number;
  learningRate: number;
  /** 0 where the parameter's role does not decay: vectors, biases, norms, positions and class tokens. */
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
 * The layers between a parameter and the output of its tower: block i of `depth` has depth - i above it. As published,
 * the norm before the first block learns as fast as the head.
 */
function layersAbove({ role }: Parameter, depth: number): number {
  if (role?.layer === "embedding") return depth + 1;
  return typeof role?.layer === "number" ? depth - role.layer : 0;
}

/**
 * The published rules of EVA-CLIP (training/optim.py): learning rates decay by layer within each tower; vectors, biases,
 * positions and class tokens have no weight decay. A parameter without a role has the settings of `other`, without decay.
 * @param all Every parameter of the model, from which the depths are counted.
 * @param trained Those to update; by default all.
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
