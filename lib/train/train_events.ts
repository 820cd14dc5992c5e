/** The run has started, after `step` updates of the run that it resumes. */
export interface StartEvent {
  readonly type: "start";
  readonly step: number;
  readonly steps: number;
  readonly parameters: number;
  readonly device: string;
}

export interface StepEvent {
  readonly type: "step";
  /** Updates done, including this one. */
  readonly step: number;
  readonly loss: number;
  /** In-batch top-1 accuracy, image → text and text → image, where the objective reports it, as CLIP's does. */
  readonly imageAccuracy?: number;
  readonly textAccuracy?: number;
  /** Largest learning rate of all parameters at this step. */
  readonly learningRate: number;
  /** exp(logit_scale), after the update. */
  readonly logitScale: number;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
  readonly samplesSeen: number;
  readonly samplesPerSecond: number;
  /** Time for which the device waited for the batch. */
  readonly dataWaitMs: number;
  readonly stepMs: number;
  /** Further metrics of the objective and `afterUpdate`, by name. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** The fields of a step event that no metric may be named after. */
export const STEP_FIELDS = [
  "type",
  "step",
  "loss",
  "learningRate",
  "logitScale",
  "gradientNorm",
  "samplesSeen",
  "samplesPerSecond",
  "dataWaitMs",
  "stepMs",
  "metrics",
] as const satisfies (keyof StepEvent)[];

/** One parameter at one step. */
export interface LayerReport {
  /** Norm of its gradient before clipping. */
  readonly gradientNorm: number;
  /** LAMB's factor of its update; optimizers without trust ratios report none. */
  readonly trustRatio?: number;
}

/** Every trained parameter by name, at the steps that `TrainConfig.detail` asks for. */
export interface LayersEvent {
  readonly type: "layers";
  readonly step: number;
  readonly layers: Readonly<Record<string, LayerReport>>;
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

export type TrainEvent =
  | StartEvent
  | StepEvent
  | LayersEvent
  | EvaluateEvent
  | CheckpointEvent
  | WarningEvent
  | EndEvent;

/** A listener that the run waits for after each step, such as a file that events are written to. */
export interface EventSink {
  add(event: TrainEvent): void;
  /** Finishes what the events added so far require. It never rejects. */
  flush(): Promise<void>;
}

interface Listener {
  readonly waiting: TrainEvent[];
  wake: () => void;
}

/** Delivers every event to all sinks, and to each listener from the moment it starts to listen. */
export class EventStream {
  readonly #sinks: EventSink[] = [];
  readonly #listeners = new Set<Listener>();
  #ending: { error?: unknown } | undefined;

  attach(sink: EventSink): void {
    this.#sinks.push(sink);
  }

  emit(event: TrainEvent): void {
    for (const sink of this.#sinks) sink.add(event);
    for (const listener of this.#listeners) {
      listener.waiting.push(event);
      listener.wake();
    }
  }

  /** Waits for all sinks. It never rejects. */
  async flush(): Promise<void> {
    for (const sink of this.#sinks) await sink.flush();
  }

  /** Ends the stream; given an error, listeners throw it after the last event. */
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
