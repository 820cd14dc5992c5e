import { spawn } from "node:child_process";
import { join } from "node:path";

/** Runs a script of test/support in a process of its own, which may crash. */
function runScript(
  name: string,
): Promise<{ code: number | null; signal: string | null; out: string; err: string }> {
  const root = join(__dirname, "..", "..");
  const script = join(root, "test", "support", name);
  const child = spawn(process.execPath, ["-r", "ts-node/register/transpile-only", script], { cwd: root });
  let [out, err] = ["", ""];
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (err += text));
  return new Promise((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, out, err }));
  });
}

test("process.exit in the middle of training ends the process at once, with its own status", async () => {
  expect(await runScript("train_forever.ts")).toMatchObject({ code: 7, signal: null, err: "" });
}, 180_000);

test("workers that train are terminated, again and again, and the process lives on", async () => {
  expect(await runScript("worker_host.ts")).toMatchObject({
    code: 0,
    signal: null,
    out: "all ended\n",
    err: "",
  });
}, 180_000);
