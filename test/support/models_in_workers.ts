// Two models in two workers compute at the same time; every embedding must have the bits that it has alone.
import { createHash } from "node:crypto";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { EvaClip } from "../../lib/clip/eva_clip";
import { tinyConfig, tinyTokenizer } from "./tiny_clip";

const ROUNDS = 20;
const BATCH = 8;

/** The digest of a model's embeddings, computed `rounds` times. */
async function digests(seed: number, rounds: number): Promise<string[]> {
  await using model = await EvaClip.create(tinyConfig, {
    ...{ device: "cpu", threads: 2, init: "fan_in", tokenizer: tinyTokenizer, seed },
  });
  const pixels = new Uint8Array(BATCH * 16 * 16 * 3).map((_, i) => (i * (seed + 5)) % 251);
  const captions = Array.from({ length: BATCH }, (_, i) => `caption ${i} of ${seed}`);
  const found: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const rows = [await model.encodePixels(pixels, BATCH), ...(await model.encodeText(captions))];
    const hash = createHash("sha256");
    for (const row of rows) hash.update(row);
    found.push(hash.digest("hex"));
  }
  return found;
}

function inWorker(seed: number, rounds: number): Promise<string[]> {
  const worker = new Worker(__filename, { workerData: { seed, rounds } });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

async function main(): Promise<void> {
  if (!isMainThread) {
    parentPort!.postMessage(await digests(workerData.seed, workerData.rounds));
    return;
  }
  const alone = [await inWorker(1, 1), await inWorker(2, 1)];
  const together = await Promise.all([inWorker(1, ROUNDS), inWorker(2, ROUNDS)]);
  const same = together.every((all, i) => all.every((digest) => digest === alone[i]![0]));
  process.stdout.write(same && alone[0]![0] !== alone[1]![0] ? "the same bits\n" : "other bits\n");
}

void main();
