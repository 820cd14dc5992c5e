import { onAbort, throwIfAborted } from "../../abortable";
import { isEvaClipError } from "../../errors";
import type { StreamOptions } from "../eva_clip_options";
import { LARGEST_BATCH } from "../in_parts";
import type { SampleOptions } from "./sample";
import type { BatchSettings, SampleBatches } from "./sample_batches";

/** What a stream takes its images or captions from. */
export type Inputs<Input> = AsyncIterable<Input> | Iterable<Input>;

/** Encodes one input in the batches of the stream. */
export type EncodeInput<Input> = (
  batches: SampleBatches,
  input: Input,
  index: number,
  options: SampleOptions,
) => Promise<Float32Array>;

/** Batches of inputs that are taken from the source before the consumer has their embeddings: one computed, one prepared. */
const BATCHES_AHEAD = 2;
const MAX_DELAY_MS = 2;

/** Whether an error is about one input; others, such as a lost device, would be the same for the inputs that follow. */
function isOfInput(error: unknown): boolean {
  return (
    isEvaClipError(error, "ERR_EVACLIP_DATA") ||
    isEvaClipError(error, "ERR_EVACLIP_NOT_FINITE") ||
    isEvaClipError(error, "ERR_EVACLIP_INVALID_ARGUMENT")
  );
}

/** The result of an input, once there is one. */
interface Place {
  result?: { readonly value: Float32Array } | { readonly error: unknown; readonly isOfSource: boolean };
}

/** Takes inputs from a source, at most `ahead` before their results are taken, and encodes them at the same time. */
class Ahead<Input> {
  /** In the order of the source. */
  readonly places: Place[] = [];
  /** The source has ended or failed. */
  ended = false;
  #isAsking = false;
  #count = 0;
  #wake = (): void => undefined;
  readonly #source: AsyncGenerator<Input, void>;
  readonly #stopping = new AbortController();

  constructor(
    source: Inputs<Input>,
    private readonly encode: (input: Input, index: number, signal: AbortSignal) => Promise<Float32Array>,
    private readonly most: number,
  ) {
    this.#source = iterate(source);
  }

  /** Resolves when something has happened since. */
  changed(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const remove = onAbort(signal, () => this.#wake());
      this.#wake = () => {
        remove();
        resolve();
      };
    });
  }

  /** Asks for inputs while there is room; one at a time, as a source expects. */
  fill(): void {
    if (this.#isAsking || this.ended || this.places.length >= this.most) return;
    this.#isAsking = true;
    this.#source.next().then(
      ({ value, done }) => {
        this.#isAsking = false;
        if (done === true) this.ended = true;
        else if (!this.#stopping.signal.aborted) this.#encode(value);
        this.#wake();
        this.fill();
      },
      (error: unknown) => {
        this.#isAsking = false;
        this.ended = true;
        this.places.push({ result: { error, isOfSource: true } });
        this.#wake();
      },
    );
  }

  /** Gives up what is not computed yet, and closes the source; a source that is still busy is not waited for. */
  async stop(): Promise<void> {
    const isOpen = !this.ended;
    this.ended = true;
    this.#stopping.abort();
    const closed = isOpen ? this.#source.return() : undefined;
    if (this.#isAsking) closed?.catch(() => undefined);
    else await closed;
  }

  #encode(input: Input): void {
    const place: Place = {};
    this.places.push(place);
    this.encode(input, this.#count++, this.#stopping.signal).then(
      (value) => {
        place.result = { value };
        this.#wake();
      },
      (error: unknown) => {
        place.result = { error, isOfSource: false };
        this.#wake();
      },
    );
  }
}

async function* iterate<Input>(source: Inputs<Input>): AsyncGenerator<Input, void> {
  yield* source;
}

/**
 * The embeddings of a source's inputs, in its order. Inputs are taken only as fast as the consumer takes results.
 * @param open begins batches for this stream
 * @param encode called for each input as soon as it is there; what it throws is the input's own error
 * @throws what the source throws, after the results of the inputs before; the signal's reason; what `onError` throws
 */
export async function* encodeStream<Input>(
  open: (settings: BatchSettings) => SampleBatches,
  source: Inputs<Input>,
  { batchSize = LARGEST_BATCH, normalize = true, signal, onError }: StreamOptions,
  encode: EncodeInput<Input>,
): AsyncGenerator<Float32Array | undefined, void> {
  throwIfAborted(signal);
  const settings = { maxBatch: batchSize, maxDelayMs: MAX_DELAY_MS, maxQueue: Number.POSITIVE_INFINITY };
  const batches = open(settings);
  const encodeOne = async (input: Input, index: number, stopped: AbortSignal) =>
    encode(batches, input, index, { normalize, signal: stopped });
  const ahead = new Ahead(source, encodeOne, BATCHES_AHEAD * batchSize);
  try {
    for (let index = 0; ; ) {
      throwIfAborted(signal);
      ahead.fill();
      const result = ahead.places[0]?.result;
      if (result === undefined) {
        if (ahead.ended && ahead.places.length === 0) return;
        await ahead.changed(signal);
        continue;
      }
      ahead.places.shift();
      if ("value" in result) yield result.value;
      else {
        if (onError === undefined || result.isOfSource || !isOfInput(result.error)) throw result.error;
        await onError(result.error, index);
        yield undefined;
      }
      index++;
    }
  } finally {
    // What the device computes for the stream at the moment is not waited for.
    void batches.close();
    await ahead.stop();
  }
}
