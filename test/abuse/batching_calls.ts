// Correct calls of the functions that encode the samples of many calls, or of a stream, in common batches.
import { Batcher } from "eva-clip/serve";
import type { PublicCall, World } from "./public_calls";

const raw = () => ({ data: new Uint8Array(16 * 16 * 3).fill(90), width: 16, height: 16, channels: 3 });
const signal = () => new AbortController().signal;

async function readStream(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** A method of a batcher, which is disposed afterwards. */
function ofBatcher(w: World, name: "encodeImage" | "encodeText", given: readonly unknown[]): PublicCall {
  const batcher = new Batcher(w.model, { maxDelayMs: 1 });
  const target = async (...all: never[]) => {
    try {
      return await (batcher[name] as (...rest: never[]) => Promise<unknown>).apply(batcher, all);
    } finally {
      await batcher.dispose();
    }
  };
  return { target, given };
}

export const batchingCalls: Readonly<Record<string, (w: World) => PublicCall>> = {
  "EvaClip.encodeImages": (w) => ({
    target: w.model.encodeImages.bind(w.model) as never,
    given: [[raw()], { normalize: true, batchSize: 2, signal: signal(), onError: () => undefined }],
    after: readStream as never,
  }),
  "EvaClip.encodeTexts": (w) => ({
    target: w.model.encodeTexts.bind(w.model) as never,
    given: [["abc", "bcd"], { batchSize: 2 }],
    after: readStream as never,
  }),
  Batcher: (w) => ({
    target: ((...given: ConstructorParameters<typeof Batcher>) => new Batcher(...given)) as never,
    given: [w.model, { maxBatch: 4, maxDelayMs: 1, maxQueue: 8, onBatch: () => undefined }],
    after: ((batcher: Batcher) => batcher.dispose()) as never,
  }),
  "Batcher.encodeImage": (w) => ofBatcher(w, "encodeImage", [raw(), { normalize: true, signal: signal() }]),
  "Batcher.encodeText": (w) => ofBatcher(w, "encodeText", ["abc", { normalize: false, signal: signal() }]),
};
