import { spawn } from "node:child_process";
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

test("the process survives the repeated termination of workers that train", async () => {
  expect(await runScript("worker_host")).toMatchObject({
    code: 0,
    signal: null,
    out: "all ended\n",
    err: "",
  });
}, 180_000);
