// Searches an SQL index in worker threads, each of which is terminated during a search; then the process exits during one.
//   node search_forever.js PATH WORKERS
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { SqlStore } from "../../lib/search/sql/sql_store";
import { unitRows } from "./random_index";

async function searchForever(path: string, onOpen: () => void): Promise<void> {
  const store = await SqlStore.open(path);
  onOpen();
  for (;;) await store.nearest([unitRows(1, 32, 1)]);
}

async function main(path: string, workers: number): Promise<void> {
  for (let i = 0; i < workers; i++) {
    const worker = new Worker(__filename, { argv: [path] });
    await once(worker, "message");
    await setTimeout(5 * i);
    await worker.terminate();
  }
  await searchForever(path, () => global.setTimeout(() => process.exit(7), 20));
}

if (!isMainThread) searchForever(process.argv[2]!, () => parentPort!.postMessage("open"));
else if (require.main === module) main(process.argv[2]!, Number(process.argv[3]));
