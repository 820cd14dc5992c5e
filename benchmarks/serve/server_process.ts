import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Per second, of Linux. */
const CLOCK_TICKS = 100;

/** `eva-clip serve` in a process of its own, and its resident memory. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #samples: { at: number; bytes: number }[] = [];
  readonly #timer: NodeJS.Timeout;
  #log = "";

  private constructor(
    child: ChildProcess,
    readonly url: string,
  ) {
    this.#child = child;
    child.stderr!.on("data", (text: Buffer) => {
      this.#log = (this.#log + text.toString()).slice(-4000);
    });
    this.#timer = setInterval(() => this.#sample(), 1000);
  }

  /** Starts the command with these arguments, and waits until it listens. */
  static async start(args: readonly string[]): Promise<ServerProcess> {
    const main = join(__dirname, "../../lib/cli/main.ts");
    const command = [
      ...process.execArgv,
      main,
      "serve",
      ...args,
      "--port",
      "0",
      "--json",
      "--log-level",
      "warn",
    ];
    const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
    let errors = "";
    const collect = (text: Buffer) => {
      errors += text.toString();
    };
    child.stderr.on("data", collect);
    const [line] = (await Promise.race([once(child.stdout, "data"), once(child, "exit")])) as [
      Buffer | number | null,
    ];
    child.stderr.off("data", collect);
    if (!Buffer.isBuffer(line)) throw new Error(`the server ended with ${line}: ${errors}`);
    const { url, error } = JSON.parse(line.toString()) as { url: string; error?: { message: string } };
    if (error) throw new Error(`the server ended: ${error.message}`);
    return new ServerProcess(child, url);
  }

  /** The end of what it has logged. */
  get log(): string {
    return this.#log;
  }

  /** Seconds of all cores that it has used. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS;
  }

  /** A metric by its name without labels. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  }

  /**
   * Resident memory since a time: the medians of tenths, and the largest sample. Single samples show what garbage collection
   * has not freed yet.
   */
  memorySince(at: number): { tenths: number[]; peak: number } {
    const bytes = this.#samples.filter((sample) => sample.at >= at).map((sample) => sample.bytes);
    const tenths = Array.from({ length: 10 }, (_, i) => {
      const own = bytes.slice(Math.floor((i * bytes.length) / 10), Math.floor(((i + 1) * bytes.length) / 10));
      return own.toSorted((a, b) => a - b)[own.length >> 1] ?? Number.NaN;
    });
    return { tenths: tenths.filter((value) => !Number.isNaN(value)), peak: Math.max(...bytes) };
  }

  /** SIGTERM. @returns its exit status */
  async stop(): Promise<number | null> {
    clearInterval(this.#timer);
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const ended = once(this.#child, "exit") as Promise<[number | null]>;
    this.#child.kill("SIGTERM");
    const [code] = await ended;
    return code;
  }

  #sample(): void {
    try {
      const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
      this.#samples.push({ at: performance.now(), bytes: Number(/VmRSS:\s*(\d+)/.exec(status)![1]) * 1024 });
    } catch {
      // It has ended.
    }
  }
}
