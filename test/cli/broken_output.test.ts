import { spawn, spawnSync } from "node:child_process";
import { openSync } from "node:fs";
import { join } from "node:path";

const root = join(__dirname, "..", "..");
const main = join(root, "lib", "cli", "main.ts");
const command = ["-r", "ts-node/register/transpile-only", main];

/** Runs a command whose standard output is closed after its first bytes. */
function runIntoHead(...words: string[]): Promise<{ code: number | null; err: string }> {
  const child = spawn(process.execPath, [...command, ...words], { cwd: root });
  let err = "";
  child.stderr.on("data", (text) => (err += text));
  child.stdout.destroy();
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, err })));
}

test("a reader that goes away is no error: neither stack nor exit status", async () => {
  expect(await runIntoHead("models", "--json")).toEqual({ code: 0, err: "" });
  expect(await runIntoHead("train", "--help")).toEqual({ code: 0, err: "" });
});

test("an output that takes nothing is an error that says so", () => {
  const full = openSync("/dev/full", "w");
  const { status, stderr } = spawnSync(process.execPath, [...command, "models"], {
    cwd: root,
    stdio: ["ignore", full, "pipe"],
    encoding: "utf8",
  });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^error: cannot write to standard output: ENOSPC/);
  expect(stderr).not.toContain("    at ");
});
