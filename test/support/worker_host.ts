// Starts workers that never end, two at a time, and terminates them while they work; then reports the end.
//   node worker_host.js SCRIPT [WORKERS]
import { join } from "node:path";
import { Worker } from "node:worker_threads";

const [script = "train_forever", workers = "6"] = process.argv.slice(2);

/** Waits until a worker has reported three times and `afterMs` have passed, then terminates it. */
async function workAndTerminate(afterMs: number): Promise<number> {
  const worker = new Worker(join(__dirname, `${script}.js`));
  await new Promise<void>((resolve, reject) => {
    worker.on("message", (count) => count >= 3 && resolve());
    worker.on("error", reject);
    worker.on("exit", (code) => reject(new Error(`the worker ended by itself with ${code}`)));
  });
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  return worker.terminate();
}

async function main(): Promise<void> {
  for (let i = 0; i < Number(workers); i += 2) {
    await Promise.all([workAndTerminate(i % 7), workAndTerminate((3 * i) % 11)]);
  }
  process.stdout.write("all ended\n");
}

void main();
