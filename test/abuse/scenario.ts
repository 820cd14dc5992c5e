import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** How much of a scenario runs: a few rounds that fit into CI, or all that is promised. */
export type Amount = "short" | "full";

export interface Scenario {
  readonly name: string;
  /** Settles with what was seen; rejects with what is wrong. */
  run(amount: Amount): Promise<string>;
}

/** What this system or user does not allow: the scenario is reported as not run. */
export class NotPossible extends Error {}

export const root = join(__dirname, "..", "..");
/** Node's arguments for a TypeScript program of this repository. */
export const typeScript = ["-C", "eva-clip-source", "-r", require.resolve("ts-node/register/transpile-only")];
export const cli = [...typeScript, join(root, "lib", "cli", "main.ts")];

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
  /** It had to be killed: it hung. */
  readonly late: boolean;
}

export interface SpawnSettings {
  readonly limitMs: number;
  readonly env?: NodeJS.ProcessEnv;
  /** Called with the child and all that it has written so far, whenever it writes. */
  readonly watch?: (child: ReturnType<typeof spawn>, written: string) => void;
  readonly command?: string;
}

/** Runs a program to its end, killing it after the limit. */
export function runProgram(words: readonly string[], settings: SpawnSettings): Promise<Ending> {
  const { limitMs, env = process.env, watch, command = process.execPath } = settings;
  const child = spawn(command, words, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  let [out, err, late] = ["", "", false];
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limitMs);
  child.stdout.on("data", (text) => {
    out += text;
    watch?.(child, out + err);
  });
  child.stderr.on("data", (text) => {
    err += text;
    watch?.(child, out + err);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, out, err, late });
    });
  });
}

/** "exit 1", "SIGSEGV", "hung", with the last of what it said. */
export function describeEnding({ code, signal, err, late }: Ending): string {
  const how = late ? "hung" : (signal ?? `exit ${code}`);
  return `${how}: ${err.trim().slice(-400)}`;
}

export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "eva-clip-abuse-"));
  try {
    return await work(folder);
  } finally {
    if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
  }
}

export function expectThat(condition: boolean, message: () => string): void {
  if (!condition) throw new Error(message());
}
