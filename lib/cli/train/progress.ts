import { Presets, SingleBar } from "cli-progress";
import type { TrainEvent } from "../../train";
import { say } from "../output";

type StepEvent = Extract<TrainEvent, { type: "step" }>;

/** A step on one line. */
function describeStep({
  loss,
  learningRate,
  logitScale,
  gradientNorm,
  samplesPerSecond,
  dataWaitMs,
}: StepEvent) {
  return (
    `loss ${loss.toFixed(4)} lr ${learningRate.toExponential(2)} scale ${logitScale.toFixed(2)} ` +
    `grad norm ${gradientNorm.toFixed(2)} ${samplesPerSecond.toFixed(1)} samples/s data wait ${dataWaitMs.toFixed(0)} ms`
  );
}

/** Shows a run on standard error: a progress bar in a terminal, elsewhere a line every `everySteps` steps. */
export class TrainingProgress {
  private bar: SingleBar | undefined;

  constructor(
    private readonly steps: number,
    private readonly everySteps: number,
  ) {}

  show(event: TrainEvent): void {
    if (event.type === "start") this.start(event.step, event.steps);
    else if (event.type === "step") this.step(event);
    else if (event.type === "checkpoint") this.note(`step ${event.step}: saved ${event.path}`);
    else if (event.type === "evaluate") this.note(`step ${event.step}: ${describeMetrics(event.metrics)}`);
    else if (event.type === "warning") this.note(`warning: ${event.message}`);
  }

  /** A line above the bar. */
  note(line: string): void {
    if (this.bar) process.stderr.write("\r\u001b[K");
    say(line);
    this.bar?.render();
  }

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  private start(step: number, steps: number): void {
    if (step === steps) this.note(`nothing to do: all ${steps} steps are already done`);
    if (step === steps || !process.stderr.isTTY) return;
    this.bar = new SingleBar(
      {
        format: "{bar} {value}/{total} {eta_formatted} left, {what}",
        hideCursor: true,
        clearOnComplete: false,
      },
      Presets.shades_classic,
    );
    this.bar.start(this.steps, step, { what: "" });
  }

  private step(event: StepEvent): void {
    if (this.bar) this.bar.update(event.step, { what: describeStep(event) });
    else if (event.step % this.everySteps === 0 || event.step === this.steps) {
      say(`step ${event.step}/${this.steps} ${describeStep(event)}`);
    }
  }
}

function describeMetrics(metrics: Readonly<Record<string, number>>): string {
  return Object.entries(metrics)
    .map(([name, value]) => `${name} ${value.toFixed(4)}`)
    .join(" ");
}
