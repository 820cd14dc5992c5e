// Runs one benchmark: npm run bench -- NAME [--json] [options of the benchmark]
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const [name, ...options] = process.argv.slice(2);
const file = join(root, "benchmarks", `${name}.ts`);

if (name === undefined || !existsSync(file)) {
  const names = readdirSync(join(root, "benchmarks")).filter((entry) => entry.endsWith(".ts"));
  const list = names.map((entry) => entry.slice(0, -3)).join(", ");
  console.error(`Usage: npm run bench -- NAME [--json]\nBenchmarks: ${list}`);
  process.exit(2);
}
const tsNode = createRequire(import.meta.url).resolve("ts-node/register/transpile-only");
const { status } = spawnSync(process.execPath, ["-C", "eva-clip-source", "-r", tsNode, file, ...options], {
  cwd: root,
  stdio: "inherit",
});
process.exitCode = status ?? 1;
