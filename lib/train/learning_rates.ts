import { anyFunction, checkArgument, invalidArgument, oneOf, options, wholeNumber } from "../arguments";
import type { Json } from "../data/dataset";
import type { ParameterRule, Tower } from "../optim/parameter_groups";
import { type Schedule, scheduleFactor } from "../optim/schedule";
import type { TrainConfig } from "./train_config";

/** How a learning rate changes over the run: half a cosine to 0 without warm-up, unless fields say otherwise. */
export type RunSchedule = Partial<Omit<Schedule, "totalSteps">>;

type PerTower = Readonly<Partial<Record<Tower, RunSchedule>>>;

/** One schedule for all parameters, one per tower (the default for a tower left out), or one per parameter. */
export type TrainSchedule = RunSchedule | PerTower | ((rule: ParameterRule) => RunSchedule);

const TOWERS: readonly Tower[] = ["image", "text", "other"];

const runSchedule = options({
  kind: oneOf("cosine", "const", "const-cooldown").optional(),
  warmupSteps: wholeNumber.optional(),
  cooldownSteps: wholeNumber.optional(),
});
const perTower = options({
  image: runSchedule.optional(),
  text: runSchedule.optional(),
  other: runSchedule.optional(),
});

function isPerTower(schedule: RunSchedule | PerTower): schedule is PerTower {
  return typeof schedule === "object" && schedule !== null && TOWERS.some((tower) => tower in schedule);
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the invalid field. */
function checkForm(schedule: TrainSchedule): void {
  if (typeof schedule === "function") checkArgument("train: config.schedule", schedule, anyFunction);
  else checkArgument("train: config.schedule", schedule, isPerTower(schedule) ? perTower : runSchedule);
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a warm-up and a cooldown that are longer than the run. */
export function checkScheduleFits({ steps, schedule }: { steps: number; schedule: RunSchedule }): void {
  const { kind, warmupSteps = 0, cooldownSteps = 0 } = schedule;
  const cooldown = kind === "const-cooldown" ? cooldownSteps : 0;
  if (warmupSteps + cooldown <= steps) return;
  const phases = cooldown === 0 ? "" : ` and a cooldown of ${cooldown}`;
  const message = `the schedule has a warm-up of ${warmupSteps} steps (--warmup)${phases}, and the whole run has ${steps}`;
  throw invalidArgument(message, { warmupSteps, cooldownSteps: cooldown, steps });
}

/** The learning rates of every step of a run. */
export class LearningRates {
  /** Distinct schedules, which parameters share. */
  readonly #schedules: Schedule[] = [];
  /** For each rule of the optimizer, the index of its schedule. */
  readonly #indices: readonly number[];
  readonly #optimizer: TrainConfig["optimizer"];

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a schedule that is invalid, or longer than the run. */
  constructor({ optimizer, steps, schedule = {} }: Pick<TrainConfig, "optimizer" | "steps" | "schedule">) {
    checkForm(schedule);
    this.#optimizer = optimizer;
    const known = new Map<string, number>();
    this.#indices = optimizer.rules.map((rule) => {
      const found = scheduleOf(schedule, rule);
      const { kind = "cosine", warmupSteps = 0, cooldownSteps = 0 } = found;
      const key = JSON.stringify([kind, warmupSteps, cooldownSteps]);
      const index = known.get(key) ?? this.#schedules.length;
      if (index < this.#schedules.length) return index;
      checkScheduleFits({ steps, schedule: found });
      known.set(key, index);
      this.#schedules.push({ kind, warmupSteps, cooldownSteps, totalSteps: steps });
      return index;
    });
  }

  /** At a step, counted from 0: [parameters] f32, and the largest of them. */
  at(step: number): { values: Float32Array; largest: number } {
    const factors = this.#schedules.map((schedule) => scheduleFactor(step, schedule));
    let largest = 0;
    let next = 0;
    const values = this.#optimizer.learningRatesAt(({ learningRate }) => {
      const factor = factors[this.#indices[next++]!]!;
      largest = Math.max(largest, learningRate * factor);
      return factor;
    });
    return { values, largest };
  }

  /** The schedule by field, or, where parameters follow several, the distinct ones of each tower. */
  describe(): Record<string, Json> {
    const [first, ...others] = this.#schedules.map(({ totalSteps: _, ...fields }) => fields);
    if (others.length === 0) {
      const { kind = "cosine", warmupSteps = 0, cooldownSteps = 0 } = first ?? {};
      return { schedule: kind, warmupSteps, cooldownSteps };
    }
    const towers = TOWERS.map((tower): [Tower, number[]] => {
      const ofTower = this.#indices.filter((_, i) => this.#optimizer.rules[i]!.tower === tower);
      return [tower, [...new Set(ofTower)].sort((a, b) => a - b)];
    });
    const described = (index: number): Json => {
      const { kind = "cosine", warmupSteps, cooldownSteps = 0 } = this.#schedules[index]!;
      return { kind, warmupSteps, cooldownSteps };
    };
    return {
      schedule: Object.fromEntries(
        towers.filter(([, used]) => used.length > 0).map(([tower, used]) => [tower, used.map(described)]),
      ),
    };
  }
}

function scheduleOf(schedule: TrainSchedule, rule: ParameterRule): RunSchedule {
  if (typeof schedule === "function") {
    const own = schedule(rule);
    checkArgument("train: what config.schedule returns", own, runSchedule);
    return own;
  }
  return isPerTower(schedule) ? (schedule[rule.tower] ?? {}) : (schedule as RunSchedule);
}
