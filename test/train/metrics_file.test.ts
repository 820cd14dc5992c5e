import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MetricsFile } from "../../lib/train/metrics_file";

const evaluation = (step: number) => ({ type: "evaluate", step, metrics: { score: step } }) as const;

test("a resumed run drops what the one before wrote past its checkpoint, and a line cut short", async () => {
  const folder = await mkdtemp(join(tmpdir(), "eva-clip-metrics-"));
  const path = join(folder, "deep", "metrics.jsonl");
  const first = await MetricsFile.open(path, 0);
  for (const step of [1, 2, 3]) first.add(evaluation(step));
  first.add({ type: "warning", message: "not a metric" });
  await first.flush();
  await writeFile(path, '{"step": 2, "cut', { flag: "a" });

  const second = await MetricsFile.open(path, 2);
  second.add(evaluation(3));
  await second.flush();
  const lines = (await readFile(path, "utf8")).trim().split("\n");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([1, 2, 3].map(evaluation));
  await rm(folder, { recursive: true });
});
