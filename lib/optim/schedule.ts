import { EvaClipError } from "../errors";

export interface ScheduleOptions {
  warmupSteps: number;
  totalSteps: number;
}

export type ScheduleKind = "cosine" | "const" | "const-cooldown";

/** How the learning rate changes over a run. */
export interface Schedule extends ScheduleOptions {
  /** `cosine` falls to 0 (the default), `const` stays, `const-cooldown` stays and falls to 0 at the end. */
  kind?: ScheduleKind;
  /** The last steps, in which `const-cooldown` falls. */
  cooldownSteps?: number;
}

/** The factor of the learning rate at a step, counted from 0: a linear warm-up, then half a cosine down to zero. */
export function warmupCosine(step: number, { warmupSteps, totalSteps }: ScheduleOptions): number {
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  return (1 + Math.cos((Math.PI * (step - warmupSteps)) / (totalSteps - warmupSteps))) / 2;
}

/** The factor of the learning rate at a step, counted from 0, under any of the schedules. */
export function scheduleFactor(step: number, schedule: Schedule): number {
  const { kind = "cosine", warmupSteps, totalSteps, cooldownSteps = 0 } = schedule;
  if (kind === "cosine" || step < warmupSteps) return warmupCosine(step, schedule);
  if (kind === "const") return 1;
  return Math.min(1, (totalSteps - step) / Math.max(1, cooldownSteps));
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for an unknown kind, or counts that are not 0 or more. */
export function checkSchedule({
  kind = "cosine",
  warmupSteps,
  totalSteps,
  cooldownSteps = 0,
}: Schedule): void {
  if (!["cosine", "const", "const-cooldown"].includes(kind)) {
    throw invalid(`kind must be cosine, const or const-cooldown, found ${kind}`);
  }
  for (const [name, value] of Object.entries({ warmupSteps, totalSteps, cooldownSteps })) {
    if (!Number.isSafeInteger(value) || value < 0) throw invalid(`${name} must be 0 or more, found ${value}`);
  }
}

function invalid(message: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `schedule: ${message}`);
}
