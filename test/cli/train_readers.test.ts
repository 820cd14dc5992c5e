import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";

const root = join(__dirname, "..", "..");
const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-readers-"));
  await writeFile(join(folder, "tiny.json"), JSON.stringify(config));
  const lines = ["filepath,title"];
  for (let i = 0; i < 8; i++) {
    const background = { r: 30 * i, g: 90, b: 20 };
    await sharp({ create: { width: 20, height: 18, channels: 3, background } }).toFile(
      join(folder, `${i}.png`),
    );
    lines.push(`${i}.png,shade ${i}`);
  }
  await writeFile(join(folder, "data.csv"), lines.join("\n"));
});
afterAll(() => rm(folder, { recursive: true }));

const words = (name: string, steps: number) => [
  ...["-r", "ts-node/register/transpile-only", join(root, "lib", "cli", "main.ts"), "train"],
  ...["--train-data", join(folder, "data.csv"), "--model", join(folder, "tiny.json"), "--init", "fan_in"],
  ...["--batch-size", "4", "--logs", folder, "--name", name, "--device", "cpu", "--threads", "1"],
  ...["--steps", String(steps), "--log-every-n-steps", "1", "--save-steps", "1000000"],
];
const checkpoints = async (name: string) =>
  (await readdir(join(folder, name, "checkpoints"))).filter((entry) => entry.startsWith("step-"));
const ended = (child: ChildProcess) =>
  new Promise<[number | null, string | null]>((resolve) => child.on("exit", (...status) => resolve(status)));

/** Waits for something, no longer than `child` lives. */
async function until(child: ChildProcess, check: () => Promise<boolean>): Promise<void> {
  while (!(await check().catch(() => false))) {
    if (child.exitCode !== null) throw new Error(`the process ended early, with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
const stepsDone = async (name: string) =>
  (await readFile(join(folder, name, "metrics.jsonl"), "utf8")).split("\n").length > 3;

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)(
  "%s saves a checkpoint and exits with %d",
  async (signal, code) => {
    const child = spawn(process.execPath, words(signal, 50_000), { cwd: root, stdio: "ignore" });
    await until(child, () => stepsDone(signal));
    child.kill(signal);
    expect(await ended(child)).toEqual([code, null]);
    expect(await checkpoints(signal)).toHaveLength(1);
  },
  120_000,
);

test("readers of both outputs that go away do not end a run", async () => {
  const child = spawn(process.execPath, words("piped", 300), { cwd: root });
  child.stderr.once("data", () => {
    child.stdout.destroy();
    child.stderr.destroy();
  });
  expect(await ended(child)).toEqual([0, null]);
  expect(await checkpoints("piped")).toContain("step-0000300");
}, 120_000);

/** Trains in a terminal that closes, and returns the exit status. The shell between the two is there to write it down. */
async function inClosingTerminal(name: string, steps: number, prefix: string): Promise<string> {
  const script = join(folder, `${name}.sh`);
  const command = [process.execPath, ...words(name, steps)].map((word) => `'${word}'`).join(" ");
  await writeFile(script, `trap '' HUP\n${prefix} ${command}\necho $? >'${join(folder, `${name}.code`)}'\n`);
  const terminal = spawn("script", ["-qfc", `sh '${script}'; true`, "/dev/null"], {
    cwd: root,
    stdio: ["pipe", "ignore", "ignore"],
  });
  await until(terminal, () => stepsDone(name));
  terminal.kill("SIGKILL");
  const status = join(folder, `${name}.code`);
  await until(terminal, async () => (await readFile(status, "utf8")) !== "");
  return (await readFile(status, "utf8")).trim();
}

test("a terminal that closes stops a run like any hang-up: with a checkpoint", async () => {
  expect(await inClosingTerminal("terminal", 50_000, "")).toBe("129");
  expect(await checkpoints("terminal")).toHaveLength(1);
}, 120_000);

test("a run that its terminal's end does not concern goes on without it", async () => {
  expect(await inClosingTerminal("detached", 400, "setsid -w")).toBe("0");
  expect(await checkpoints("detached")).toContain("step-0000400");
}, 120_000);
