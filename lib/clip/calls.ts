import { EvaClipError } from "../errors";
import { abortable, throwIfAborted } from "../abortable";

/** The pending calls of a disposable object, each from its start to the end of its last stage. */
export class Calls {
  readonly #underWay = new Set<Promise<unknown>>();
  #isClosed = false;

  /** @param owner whose calls they are, for the error: `the model` */
  constructor(private readonly owner: string) {}

  get closed(): boolean {
    return this.#isClosed;
  }

  /**
   * Runs `work` as one call. An aborted `signal` rejects immediately; work already started counts as pending until it ends.
   * @throws EvaClipError `ERR_EVACLIP_DISPOSED` after `close`; the signal's reason
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#isClosed) throw new EvaClipError("ERR_EVACLIP_DISPOSED", `${this.owner} was disposed`);
    throwIfAborted(signal);
    const running = work();
    this.#underWay.add(running);
    const forget = () => this.#underWay.delete(running);
    running.then(forget, forget);
    return abortable(running, signal);
  }

  /** Rejects new calls and waits for pending ones. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#underWay);
  }
}
