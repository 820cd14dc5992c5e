import type { ClipModel } from "../../models/clip_model";
import { AdamW } from "../../optim/adamw";
import { Lamb } from "../../optim/lamb";
import type { Optimizer } from "../../optim/optimizer";
import { parameterRules, type TowerSettings } from "../../optim/parameter_groups";
import { type TowerLock, unlockedParameters } from "../../optim/tower_locks";
import { checkScheduleFits, type RunSchedule } from "../learning_rates";
import type { RecipeOptions, RecipeTower } from "./recipe_options";
import type { RunLength } from "./run_length";

const DEFAULT_WARMUP = 2000;

/** Defaults of EVA-CLIP (training/params.py); betas and epsilon are those of its ViT models. */
export const OPTIMIZER_DEFAULTS = {
  learningRate: 5e-4,
  weightDecay: 0.05,
  layerDecay: 1,
  beta1: 0.9,
  beta2: 0.98,
  eps: 1e-6,
} as const;

function lockOf({ freeze = false }: RecipeTower): TowerLock | undefined {
  if (freeze === false) return undefined;
  return freeze === true ? {} : freeze;
}

/** The optimizer of the parameters that are not frozen, with a learning rate and weight decay per tower. */
export function recipeOptimizer(model: ClipModel, options: RecipeOptions): Optimizer {
  const given = { ...OPTIMIZER_DEFAULTS, ...options };
  const { imageTower = {}, textTower = {}, clipNorm = 0, lambVariant } = options;
  const settingsOf = (tower: RecipeTower): TowerSettings => ({
    learningRate: tower.learningRate ?? given.learningRate,
    weightDecay: tower.weightDecay ?? given.weightDecay,
    layerDecay: tower.layerDecay ?? given.layerDecay,
  });
  const { learningRate, weightDecay } = given;
  const all = model.parameters();
  const rules = parameterRules(
    all,
    { image: settingsOf(imageTower), text: settingsOf(textTower), other: { learningRate, weightDecay } },
    unlockedParameters(all, { image: lockOf(imageTower), text: lockOf(textTower) }),
  );
  const { beta1, beta2, eps } = given;
  const moments = { beta1, beta2, eps, clipNorm };
  if (options.optimizer !== "lamb") return new AdamW(rules, moments);
  return new Lamb(rules, { ...moments, ...(lambVariant && { variant: lambVariant }) });
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a warm-up or a cooldown longer than the run */
export function recipeSchedule(
  { schedule = {} }: RecipeOptions,
  { steps, stepsPerEpoch }: RunLength,
): RunSchedule {
  const { kind = "cosine", warmupSteps, cooldownEpochs = 0 } = schedule;
  const whole = {
    kind,
    warmupSteps: warmupSteps ?? Math.min(DEFAULT_WARMUP, Math.floor(steps / 10)),
    cooldownSteps: cooldownEpochs * stepsPerEpoch,
  };
  checkScheduleFits({ steps, schedule: whole });
  return whole;
}
