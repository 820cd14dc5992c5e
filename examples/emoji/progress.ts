import { minutes, thousands } from "./result";

/** What the bar shows of the last step. */
export interface ProgressState {
  step: number;
  loss: number;
  /** Share of the batch's images whose own caption scored highest. */
  accuracy: number;
}

const BAR_WIDTH = 24;
const REDRAW_MS = 100;
const LINES_WITHOUT_TERMINAL = 20;

/**
 * A progress bar on a terminal; twenty plain lines in a log file.
 *
 * @param out usually `process.stderr`, so that results alone go to stdout
 */
export class TrainingProgress {
  private readonly startedAt: number;
  private drawnAt = Number.NEGATIVE_INFINITY;
  private drawnPart = 0;

  constructor(
    private readonly steps: number,
    private readonly batch: number,
    private readonly out: { write(text: string): unknown; isTTY?: boolean },
    private readonly now: () => number = () => performance.now(),
  ) {
    this.startedAt = now();
  }

  /** Shows the state after `state.step` steps, unless it was shown a moment ago. */
  update(state: ProgressState): void {
    if (!this.isDue(state.step)) return;
    const line = this.line(state);
    this.out.write(this.out.isTTY ? `\r\x1b[2K${line}` : `${line}\n`);
  }

  /** Ends the line. */
  finish(): void {
    if (this.out.isTTY) this.out.write("\n");
  }

  private isDue(step: number): boolean {
    if (step >= this.steps) return true;
    if (!this.out.isTTY) {
      const part = Math.floor((step / this.steps) * LINES_WITHOUT_TERMINAL);
      if (part === this.drawnPart && step !== 1) return false;
      this.drawnPart = part;
      return true;
    }
    const now = this.now();
    if (now - this.drawnAt < REDRAW_MS) return false;
    this.drawnAt = now;
    return true;
  }

  private line({ step, loss, accuracy }: ProgressState): string {
    const seconds = Math.max(this.now() - this.startedAt, 1) / 1000;
    const filled = Math.round((step / this.steps) * BAR_WIDTH);
    return [
      `${"━".repeat(filled)}${"─".repeat(BAR_WIDTH - filled)}`,
      `${step}/${this.steps}`,
      `loss ${loss.toFixed(3)}`,
      `batch accuracy ${(accuracy * 100).toFixed(0)} %`,
      `${thousands((step * this.batch) / seconds)} samples/s`,
      `${minutes(((this.steps - step) * seconds) / step)} left`,
    ].join("  ");
  }
}
