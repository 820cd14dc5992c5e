import { anyFunction, checkArgument, invalidArgument, oneOf, options, wholeNumber } from "../arguments";
import type { Json } from "../data/dataset";
import type { ParameterRule, Tower } from "../optim/parameter_groups";
import { type Schedule, scheduleFactor } from "../optim/schedule";
import type { Optimizer } from "../optim/optimizer";

/** The schedule of a learning rate over the run. Default: cosine decay to 0 without warm-up. */
export type RunSchedule = Partial<Omit<Schedule, "totalSteps">>;

export type SchedulePerTower = Readonly<Partial<Record<Tower, RunSchedule>>>;

/** One schedule for all parameters, one per tower (the default schedule for others), or one per parameter. */
export type TrainSchedule = RunSchedule | SchedulePerTower | ((rule: ParameterRule) => RunSchedule);

/** The fields of a `TrainConfig` that learning rates depend on. */
export interface ScheduledRun {
  readonly optimizer: Optimizer;
  readonly steps: number;
  readonly schedule?: TrainSchedule;
}

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

function isPerTower(schedule: RunSchedule | SchedulePerTower): schedule is SchedulePerTower {
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

/** A schedule with its defaults. */
type FullSchedule = Required<Schedule>;

/** The learning rates of every step of a run. */
export class LearningRates {
  /** Parameters with equal schedules share one object. */
  readonly #schedules: ReadonlyMap<ParameterRule, FullSchedule>;
  readonly #optimizer: Optimizer;

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a schedule that is invalid, or longer than the run. */
  constructor({ optimizer, steps, schedule = {} }: ScheduledRun) {
    checkForm(schedule);
    this.#optimizer = optimizer;
    const distinct = new Map<string, FullSchedule>();
    this.#schedules = new Map(
      optimizer.rules.map((rule) => {
        const { kind = "cosine", warmupSteps = 0, cooldownSteps = 0 } = scheduleOf(schedule, rule);
        const full = { kind, warmupSteps, cooldownSteps, totalSteps: steps };
        checkScheduleFits({ steps, schedule: full });
        const key = JSON.stringify(full);
        const shared = distinct.get(key) ?? full;
        distinct.set(key, shared);
        return [rule, shared];
      }),
    );
  }

  /** At a step, counted from 0: [parameters] f32, and the largest of them. */
  at(step: number): { values: Float32Array; largest: number } {
    const distinct = new Set(this.#schedules.values());
    const factors = new Map([...distinct].map((schedule) => [schedule, scheduleFactor(step, schedule)]));
    let largest = 0;
    const values = this.#optimizer.learningRatesAt((rule) => {
      const factor = factors.get(this.#schedules.get(rule)!)!;
      largest = Math.max(largest, rule.learningRate * factor);
      return factor;
    });
    return { values, largest };
  }

  /** The fields of the schedule; where parameters follow several, the distinct schedules of each tower. */
  describe(): Record<string, Json> {
    const fieldsOf = ({ kind, warmupSteps, cooldownSteps }: FullSchedule) => ({
      kind,
      warmupSteps,
      cooldownSteps,
    });
    const distinct = [...new Set(this.#schedules.values())];
    if (distinct.length === 1) {
      const { kind, ...counts } = fieldsOf(distinct[0]!);
      return { schedule: kind, ...counts };
    }
    const byTower: Record<string, Json> = {};
    for (const tower of TOWERS) {
      const ofTower = [...this.#schedules].filter(([rule]) => rule.tower === tower);
      const used = new Set(ofTower.map(([, schedule]) => schedule));
      if (used.size > 0) byTower[tower] = distinct.filter((schedule) => used.has(schedule)).map(fieldsOf);
    }
    return { schedule: byTower };
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
