import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";

test("a model in a worker thread answers, and the process ends", async () => {
  const root = resolve(__dirname, "../..");
  const flags = ["-C", "eva-clip-source", "-r", "ts-node/register/transpile-only"];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...flags, "examples/service/worker_thread.ts"],
    { cwd: root, timeout: 100_000 },
  );
  expect(stdout.trim().split("\n")).toEqual(["a dog 32", "a bicycle 32", "a red house 32"]);
}, 120_000);
