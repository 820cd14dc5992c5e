// Starts training workers, two at a time, and terminates them during training; then reports the end.
import { join } from "node:path";
import { Worker } from "node:worker_threads";

const ROUNDS = 3;

/** Waits for a worker's third step, then terminates it. */
async function trainAndTerminate(): Promise<number> {
  const worker = new Worker(join(__dirname, "train_forever.js"));
  await new Promise<void>((resolve, reject) => {
    worker.on("message", (step) => step >= 3 && resolve());
    worker.on("error", reject);
    worker.on("exit", (code) => reject(new Error(`the worker ended by itself with ${code}`)));
  });
  return worker.terminate();
}

async function main(): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) await Promise.all([trainAndTerminate(), trainAndTerminate()]);
  process.stdout.write("all ended\n");
}

void main();
