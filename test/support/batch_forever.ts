// Keeps the queue of a batcher full and reports every answer, for tests that end its process or worker abruptly.
import { isMainThread, parentPort } from "node:worker_threads";
import { EvaClip } from "../../lib/clip/eva_clip";
import { Batcher } from "../../lib/serve/batcher";
import { tinyConfig, tinyTokenizer } from "./tiny_clip";
import { testDevice } from "./test_device";

const CALLERS = 100;

async function main(): Promise<void> {
  const model = await EvaClip.create(tinyConfig, {
    ...{ device: testDevice, threads: 1, init: "fan_in", tokenizer: tinyTokenizer },
  });
  const batcher = new Batcher(model, { maxBatch: 8 });
  const image = { data: new Uint8Array(40 * 40 * 3), width: 40, height: 40, channels: 3 } as const;
  let answers = 0;
  const callForever = async (caller: number) => {
    for (;;) {
      await (caller % 2 ? batcher.encodeImage(image) : batcher.encodeText(`caller ${caller}`));
      answers++;
      if (isMainThread && answers === 500) process.exit(7);
      parentPort?.postMessage(answers);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, caller) => callForever(caller)));
}

void main();
