import { EvaClipError } from "../../errors";
import type { TrainerState } from "../../weights/checkpoint/trainer_state";
import { writeCheckpoint } from "../checkpoint";
import { statedConfig } from "../../models/clip_config";
import { groupsOf, type TrainConfig } from "../train_config";
import type { TrainEvent } from "../train_events";

interface Request {
  resolve(path: string): void;
  reject(reason: unknown): void;
}

/** The checkpoints of one run: those that are due, those asked for, and the last one. */
export class RunCheckpoints {
  readonly #requests: Request[] = [];
  #last: { readonly path: string; readonly step: number } | undefined;
  #hasEnded = false;
  #hasFailed = false;

  constructor(
    private readonly config: TrainConfig,
    private readonly emit: (event: TrainEvent) => void,
  ) {}

  /** The newest checkpoint: written by this run, or resumed. */
  get lastPath(): string | undefined {
    return this.#last?.path;
  }

  /** Whether writing a checkpoint has failed, which would fail again. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  resumedFrom(path: string, step: number): void {
    this.#last = { path, step };
  }

  /** Asks for a checkpoint after the current step. @returns Its path. */
  request(): Promise<string> {
    if (this.#hasEnded || !this.config.checkpoint) {
      const why = this.#hasEnded ? "the run has ended" : "train() was given no checkpoint.directory";
      return Promise.reject(new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `no checkpoint: ${why}`));
    }
    return new Promise((resolve, reject) => this.#requests.push({ resolve, reject }));
  }

  /** Saves the state if a checkpoint is due at its step, or was asked for. */
  async afterStep(state: TrainerState): Promise<void> {
    const { every = Number.POSITIVE_INFINITY } = this.config.checkpoint ?? {};
    if (state.step % every === 0 || this.#requests.length > 0) await this.#save(state);
  }

  /** Saves the state unless its checkpoint exists already. */
  async finish(state: TrainerState): Promise<void> {
    const isNew = state.step > (this.#last?.step ?? 0);
    if (this.config.checkpoint && isNew) await this.#save(state);
  }

  /** Rejects the requests that are left. */
  end(): void {
    this.#hasEnded = true;
    const error = new EvaClipError("ERR_EVACLIP_DISPOSED", "the run ended before the checkpoint");
    for (const request of this.#requests.splice(0)) request.reject(error);
  }

  async #save(state: TrainerState): Promise<void> {
    const { checkpoint, model } = this.config;
    const { directory, keepLast } = checkpoint!;
    const requests = this.#requests.splice(0);
    try {
      const content = { config: statedConfig(model.config), groups: groupsOf(this.config), state };
      const path = await writeCheckpoint(directory, content, keepLast === undefined ? {} : { keepLast });
      this.#last = { path, step: state.step };
      for (const request of requests) request.resolve(path);
      this.emit({ type: "checkpoint", step: state.step, path });
    } catch (error) {
      this.#hasFailed = true;
      for (const request of requests) request.reject(error);
      throw error;
    }
  }
}
