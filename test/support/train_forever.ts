// Trains forever and reports every step, for tests that end its process or worker abruptly.
import { isMainThread, parentPort } from "node:worker_threads";
import { Device } from "../../lib/device";
import { batchesByStep } from "../../lib/train/batch_source";
import { train } from "../../lib/train/train";
import { tinyBatch, tinyTraining } from "./tiny_clip";
import { testDevice } from "./test_device";

async function main(): Promise<void> {
  const device = await Device.open(testDevice, { threads: 1 });
  const { model, optimizer } = await tinyTraining(device);
  const run = train({
    device,
    model,
    optimizer,
    data: batchesByStep((step) => tinyBatch(step)),
    steps: 1_000_000,
  });
  for await (const event of run) {
    if (event.type !== "step") continue;
    if (isMainThread && event.step === 3) process.exit(7);
    parentPort?.postMessage(event.step);
  }
}

void main();
