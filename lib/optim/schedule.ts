import { checkArgument, oneOf, options, wholeNumber } from "../arguments";

export interface ScheduleOptions {
  warmupSteps: number;
  totalSteps: number;
}

export type ScheduleKind = "cosine" | "const" | "const-cooldown";

/** The learning rate schedule of a run. */
export interface Schedule extends ScheduleOptions {
  /** After the warm-up: `cosine` decays to 0 (the default), `const` is constant, `const-cooldown` ends in a linear decay to 0. */
  kind?: ScheduleKind;
  /** Number of decay steps of `const-cooldown`. */
  cooldownSteps?: number;
}

const counts = { warmupSteps: wholeNumber, totalSteps: wholeNumber };
const warmupSchedule = options(counts);
const anySchedule = options({
  ...counts,
  kind: oneOf("cosine", "const", "const-cooldown").optional(),
  cooldownSteps: wholeNumber.optional(),
});

/**
 * The learning rate factor at a step, counted from 0: linear warm-up, then cosine decay to 0; 0 after the last step.
 */
export function warmupCosine(step: number, schedule: ScheduleOptions): number {
  checkArgument("warmupCosine: step", step, wholeNumber);
  checkArgument("warmupCosine: schedule", schedule, warmupSchedule);
  return cosineFactor(step, schedule);
}

function cosineFactor(step: number, { warmupSteps, totalSteps }: ScheduleOptions): number {
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  if (step >= totalSteps) return 0;
  return (1 + Math.cos((Math.PI * (step - warmupSteps)) / (totalSteps - warmupSteps))) / 2;
}

/** The learning rate factor at a step, counted from 0, for any kind of schedule. */
export function scheduleFactor(step: number, schedule: Schedule): number {
  checkArgument("scheduleFactor: step", step, wholeNumber);
  checkArgument("scheduleFactor: schedule", schedule, anySchedule);
  const { kind = "cosine", warmupSteps, totalSteps, cooldownSteps = 0 } = schedule;
  if (kind === "cosine" || step < warmupSteps) return cosineFactor(step, schedule);
  if (kind === "const") return 1;
  return Math.max(0, Math.min(1, (totalSteps - step) / Math.max(1, cooldownSteps)));
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for an unknown kind, or a count below 0. */
export function checkSchedule(schedule: Schedule): void {
  checkArgument("schedule", schedule, anySchedule);
}
