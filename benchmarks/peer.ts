import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";

/** A PyTorch program that runs one step of a named form on request. */
export class Peer {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterableIterator<string>;
  #errors = "";

  private constructor(script: string, args: readonly string[], more: NodeJS.ProcessEnv) {
    const python = process.env.EVA_CLIP_PEER_PYTHON ?? "python3";
    // If set, these two slow down current OpenBLAS.
    const { OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, ...env } = process.env;
    this.#process = spawn(python, [join(__dirname, "peers", script), ...args], { env: { ...env, ...more } });
    this.#process.stderr.on("data", (text: Buffer) => {
      this.#errors += text.toString();
    });
    this.#process.on("error", (error) => {
      this.#errors += error.message;
    });
    this.#process.stdin.on("error", () => undefined);
    const reader: Interface = createInterface({ input: this.#process.stdout });
    this.#lines = reader[Symbol.asyncIterator]();
  }

  /**
   * Starts the program and waits until every form is prepared.
   * @throws Error with the program's own message, for example when PyTorch is not installed.
   */
  static async start(
    script: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): Promise<{ peer: Peer; version: string }> {
    const peer = new Peer(script, args, environment);
    const { torch } = await peer.#next("ready");
    return { peer, version: String(torch) };
  }

  /** Runs one step and returns its seconds, measured inside the program. */
  async step(form: string): Promise<number> {
    this.#process.stdin.write(`${form}\n`);
    return Number((await this.#next("seconds")).seconds);
  }

  stop(): void {
    this.#process.kill();
  }

  async #next(field: string): Promise<Record<string, unknown>> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`the peer ended: ${this.#errors.trim().split("\n").slice(-3).join(" | ")}`);
      if (!value.startsWith("{")) continue;
      const line = JSON.parse(value) as Record<string, unknown>;
      if (line.error) throw new Error(`the peer failed: ${line.error}`);
      if (field in line) return line;
    }
  }
}

/** PyTorch's forms of a training step: its defaults, and the fastest known. */
export const peerForms = {
  f32: ["f32 eager", "f32 eager, oneDNN", "f32 compiled", "f32 compiled, oneDNN"],
  bf16: ["bf16 autocast eager", "bf16 weights compiled"],
} as const;

/**
 * Without this limit, oneDNN multiplies in bf16 on processors with AMX when PyTorch asks for f32 products of "medium"
 * precision, which is how its f32 products are sent to oneDNN.
 */
const F32_ENVIRONMENT = { ONEDNN_MAX_CPU_ISA: "AVX512_CORE" };

/** The task of a training peer. */
export interface PeerTraining {
  precision: keyof typeof peerForms;
  /** A name in benchmarks/peers/towers.py. */
  model: string;
  /** A name in benchmarks/peers/optimizers.py. */
  optimizer: string;
  /** Lengths of the captions of a batch, in tokens. */
  lengths: readonly number[];
  threads: number;
}

/** Starts a training peer with all forms of a precision; undefined, with the reason on standard error, if there is none. */
export async function startTrainingPeer(
  script: string,
  { precision, model, optimizer, lengths, threads }: PeerTraining,
  more: readonly string[] = [],
): Promise<{ peer: Peer; version: string } | undefined> {
  try {
    const args = [
      ...["--model", model, "--optimizer", optimizer, "--lengths", lengths.join(",")],
      ...["--forms", peerForms[precision].join(";"), "--threads", String(threads), ...more],
    ];
    return await Peer.start(script, args, precision === "f32" ? F32_ENVIRONMENT : {});
  } catch (error) {
    console.error(`no peer: ${(error as Error).message}`);
    return undefined;
  }
}
