/** The run has begun; `step` steps were done before, by the run that it resumes. */
export interface StartEvent {
  readonly type: "start";
  readonly step: number;
  readonly steps: number;
  readonly parameters: number;
  readonly device: string;
}

export interface StepEvent {
  readonly type: "step";
  /** Updates done, this one included. */
  readonly step: number;
  readonly loss: number;
  /** Share of the batch's images, and of its texts, whose own partner scores highest. */
  readonly imageAccuracy: number;
  readonly textAccuracy: number;
  /** That of the fastest parameter at this step. */
  readonly learningRate: number;
  /** e to the parameter, after the update. */
  readonly logitScale: number;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
  readonly samplesSeen: number;
  readonly samplesPerSecond: number;
  /** Time that the device waited for the batch. */
  readonly dataWaitMs: number;
  readonly stepMs: number;
}

export interface EvaluateEvent {
  readonly type: "evaluate";
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface CheckpointEvent {
  readonly type: "checkpoint";
  readonly step: number;
  readonly path: string;
}

export interface WarningEvent {
  readonly type: "warning";
  readonly message: string;
}

/** Why a run ended: all steps done, `stop()`, or no more batches. */
export type EndReason = "finished" | "stopped" | "data_ended";

export interface EndEvent {
  readonly type: "end";
  readonly reason: EndReason;
  readonly step: number;
}

export type TrainEvent = StartEvent | StepEvent | EvaluateEvent | CheckpointEvent | WarningEvent | EndEvent;

interface Listener {
  readonly waiting: TrainEvent[];
  wake: () => void;
}

/** Gives every listener all events from the moment it listens; without listeners nothing is kept. */
export class EventStream {
  readonly #listeners = new Set<Listener>();
  #ending: { error?: unknown } | undefined;

  emit(event: TrainEvent): void {
    for (const listener of this.#listeners) {
      listener.waiting.push(event);
      listener.wake();
    }
  }

  /** No more events; with an error, listeners throw it after the last one. */
  end(ending: { error?: unknown } = {}): void {
    this.#ending = ending;
    for (const listener of this.#listeners) listener.wake();
  }

  listen(): AsyncGenerator<TrainEvent, void> {
    const listener: Listener = { waiting: [], wake: () => undefined };
    this.#listeners.add(listener);
    return this.#deliver(listener);
  }

  async *#deliver(listener: Listener): AsyncGenerator<TrainEvent, void> {
    try {
      for (;;) {
        while (listener.waiting.length > 0) yield listener.waiting.shift()!;
        if (this.#ending) break;
        await new Promise<void>((wake) => {
          listener.wake = wake;
        });
      }
      if ("error" in this.#ending) throw this.#ending.error;
    } finally {
      this.#listeners.delete(listener);
    }
  }
}
