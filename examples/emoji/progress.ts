import { Presets, SingleBar } from "cli-progress";
import { thousands } from "./result";

/** The last training step. */
export interface ProgressState {
  step: number;
  loss: number;
  /** In-batch top-1 accuracy, image → text. */
  accuracy: number;
}

const LOG_MS = 10_000;

/** Training progress: a bar on a terminal; in a log file, a line every ten seconds. */
export class TrainingProgress {
  private readonly bar: SingleBar;
  private readonly startedAt = performance.now();

  /** @param stream usually `process.stderr`, so that stdout has only the results */
  constructor(
    steps: number,
    private readonly batch: number,
    stream: NodeJS.WritableStream,
  ) {
    const format = "{bar}  {value}/{total}  {state}  {eta_formatted} left";
    const settings = { format, stream, noTTYOutput: true, notTTYSchedule: LOG_MS };
    this.bar = new SingleBar(settings, Presets.rect);
    this.bar.start(steps, 0, { state: "starting" });
  }

  update({ step, loss, accuracy }: ProgressState): void {
    const seconds = (performance.now() - this.startedAt) / 1000;
    const speed = `${thousands((step * this.batch) / seconds)} samples/s`;
    const state = `loss ${loss.toFixed(3)}  in-batch accuracy ${(accuracy * 100).toFixed(0)} %  ${speed}`;
    this.bar.update(step, { state });
  }

  /** Shows the last state and ends the line. */
  finish(): void {
    this.bar.stop();
  }
}
