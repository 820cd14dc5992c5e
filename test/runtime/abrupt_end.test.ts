import { spawn } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { TranspiledLibrary } from "../support/transpiled_library";

interface Ended {
  code: number | null;
  signal: string | null;
  out: string;
  err: string;
}

let library: TranspiledLibrary;
beforeAll(() => {
  library = new TranspiledLibrary();
});
afterAll(() => library.remove());

/** Runs a script of test/support in a child process, which may crash or hang. */
function runScript(name: string, ...args: (string | number)[]): Promise<Ended> {
  const child = spawn(process.execPath, [library.script(`${name}.js`), ...args.map(String)], {
    cwd: join(__dirname, "..", ".."),
    env: library.env,
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (err += text));
  return new Promise((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, out, err }));
  });
}

/** How child processes ended that were stopped at different moments between 20 ms and 150 ms. */
async function endings(times: number, way: string, moment: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const { code, signal } = await runScript("end_while_busy", way, moment, 20 + ((i * 37) % 130));
    const how = signal ?? String(code);
    counts[how] = (counts[how] ?? 0) + 1;
  }
  return counts;
}

const TIMES = Number(process.env.EVA_CLIP_EXITS ?? 8);

test.each([
  ["exit", "run"],
  ["exit", "compile"],
  ["exit", "parameters"],
  ["exit", "dispose"],
  ["signal", "run"],
  ["throw", "run"],
  ["reject", "compile"],
  ["worker-exit", "run"],
  ["worker-main", "compile"],
  ["worker-terminate", "run"],
  ["worker-terminate", "compile"],
  ["exit", "train"],
  ["exit", "batch"],
  ["worker-terminate", "batch"],
])(
  "%s while the device is busy with %s ends the process with its own status",
  async (way, moment) => {
    expect(await endings(TIMES, way, moment)).toEqual({ 7: TIMES });
  },
  600_000,
);

test("process.exit during training ends the process at once, with its status", async () => {
  expect(await runScript("train_forever")).toMatchObject({ code: 7, signal: null, err: "" });
}, 180_000);

test.each(["train_forever", "batch_forever"])(
  "the process survives the repeated termination of workers that run %s",
  async (script) => {
    expect(await runScript("worker_host", script)).toMatchObject({
      code: 0,
      signal: null,
      out: "all ended\n",
      err: "",
    });
  },
  180_000,
);

test("two models compute in two workers with the bits that each has alone", async () => {
  const ended = await runScript("models_in_workers");
  expect(ended).toMatchObject({ code: 0, signal: null, out: "the same bits\n" });
}, 180_000);

test("two copies of the package compute in one process, and know each other's errors by their code", async () => {
  const other = new TranspiledLibrary();
  const addon = join(other.folder, "another.node");
  copyFileSync(library.env.EVA_CLIP_NATIVE_PATH!, addon);
  const { code, out, err } = await runScript("two_copies", other.folder, addon);
  other.remove();
  expect([code, err]).toEqual([0, ""]);
  expect(JSON.parse(out)).toEqual({
    sameClass: false,
    sameEmbeddings: true,
    isInstance: false,
    isRecognized: true,
    refused: expect.stringContaining("this one is another copy's"),
  });
}, 180_000);
