export interface ScheduleOptions {
  warmupSteps: number;
  totalSteps: number;
}

/** The factor of the learning rate at a step, counted from 0: a linear warm-up, then half a cosine down to zero. */
export function warmupCosine(step: number, { warmupSteps, totalSteps }: ScheduleOptions): number {
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  return (1 + Math.cos((Math.PI * (step - warmupSteps)) / (totalSteps - warmupSteps))) / 2;
}
