import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MetricsFile } from "../../lib/train/metrics_file";

const evaluation = (step: number) => ({ type: "evaluate", step, metrics: { score: step } }) as const;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-metrics-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("a resumed run drops what the one before wrote past its checkpoint, and a line cut short", async () => {
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
});

const longLine = (step: number) => `{"step":${step},"note":"${"é".repeat(1e5)}"}\n`;

test.each<[string, string, string]>([
  ["an empty file", "", ""],
  ["nothing past the step", '{"step":1}\n{"step":2}\n', '{"step":1}\n{"step":2}\n'],
  ["a last line without its end", '{"step":1}\n{"step":2}', '{"step":1}\n{"step":2}\n'],
  ["only later steps", '{"step":3}\n{"step":4}\n', ""],
  ["one line cut short", '{"ste', ""],
  ["empty lines and others at the end", '{"step":2}\nnull\n\n\n', '{"step":2}\n'],
  ["lines longer than a block", `${longLine(1)}${longLine(9)}`, longLine(1)],
])("%s is cut behind the last line up to the step", async (name, before, after) => {
  const path = join(folder, `${name}.jsonl`);
  await writeFile(path, before);
  await MetricsFile.open(path, 2);
  expect(await readFile(path, "utf8")).toBe(after);
});

test("a file larger than a string can be is cut without reading it whole", async () => {
  const path = join(folder, "month.jsonl");
  const hole = 2 ** 31;
  const file = await open(path, "w");
  await file.write(`\n${[1, 2, 3].map((step) => `${JSON.stringify(evaluation(step))}\n`).join("")}`, hole);
  await file.close();
  await MetricsFile.open(path, 2);
  const kept = `\n${[1, 2].map((step) => `${JSON.stringify(evaluation(step))}\n`).join("")}`;
  expect((await stat(path)).size).toBe(hole + kept.length);
});
