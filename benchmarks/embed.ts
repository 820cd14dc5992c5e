// Embeddings of EVA02-CLIP-B/16 with the same random weights as by onnxruntime-node of the npm registry: image and text,
// p50 and p99 of calls of one size. Each library has a process of its own; they alternate, so that other load on the machine
// affects both alike, and their embeddings are compared. Captions have about ten tokens; ONNX Runtime's are padded to 77, as
// the exported models of its users are. ONNX Runtime computes in f32 for both precisions: on CPUs it has nothing faster.
//   npm run bench -- embed [--tower image,text] [--batch 1,8,32] [--precision f32,bf16] [--seconds 20] [--json]
// The first run installs onnxruntime-node into --folder and exports the model there, for which EVA_CLIP_PEER_PYTHON (by
// default `python3`) needs torch, timm, safetensors and onnx.
import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { EvaClip } from "eva-clip";
import { availableProcessors } from "../lib/container_limits";
import type { EmbedderOptions } from "./embed/embedder";
import type { Answer, Request } from "./embed/embedder_process";
import { MODEL, type Tower } from "./embed/inputs";

const ONNX_RUNTIME = "onnxruntime-node@1.30.0";
const PEER = "onnxruntime f32";
/** Least cosine of an embedding with the peer's. */
const LEAST_COSINE = { f32: 0.9999, bf16: 0.999 } as const;
const MIN_CALLS = 10;
/** Of a process, before the other's turn. */
const TURN_SECONDS = 2;

type Precision = keyof typeof LEAST_COSINE;

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split("\n").slice(-3).join(" | ");
  throw new Error(`${command} ${args[0]} failed: ${reason}`);
}

/** Installs the peer and writes the model in both formats, unless a run before did. */
async function prepare(folder: string): Promise<Pick<EmbedderOptions, "models" | "packages">> {
  const [models, packages] = [join(folder, MODEL), join(folder, "packages")];
  const weights = join(models, "open_clip_model.safetensors");
  for (const each of [models, packages]) mkdirSync(each, { recursive: true });
  if (!existsSync(join(packages, "node_modules", "onnxruntime-node"))) {
    writeFileSync(join(packages, "package.json"), '{ "private": true }\n');
    run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", ONNX_RUNTIME], packages);
  }
  if (!existsSync(join(models, "text.onnx"))) {
    const clip = await EvaClip.create(MODEL, { device: "cpu", seed: 1 });
    await clip.save(models, { layout: "open_clip" });
    await clip.dispose();
    const exporter = join(__dirname, "peers", "export_onnx.py");
    const python = process.env.EVA_CLIP_PEER_PYTHON ?? "python3";
    run(python, [exporter, "--weights", weights, "--out", models], folder);
  }
  return { models, packages };
}

class EmbedderProcess {
  private constructor(
    readonly form: string,
    private readonly child: ChildProcess,
  ) {}

  static async start(form: string, library: string, options: EmbedderOptions): Promise<EmbedderProcess> {
    const child = fork(join(__dirname, "embed", "embedder_process.ts"), [library, JSON.stringify(options)]);
    const started = new EmbedderProcess(form, child);
    await started.#message();
    return started;
  }

  async request(request: Request): Promise<Answer> {
    this.child.send(request);
    return (await this.#message()) as Answer;
  }

  async stop(): Promise<void> {
    this.child.disconnect();
    await once(this.child, "exit");
  }

  #message(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null) =>
        reject(new Error(`the process of ${this.form} ended with ${code}`));
      this.child.once("exit", onExit);
      this.child.once("message", (message) => {
        this.child.off("exit", onExit);
        resolve(message);
      });
    });
  }
}

function cosine(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

/** The least cosine of the rows of two matrices of unit-length rows. */
function leastCosine(a: readonly number[], b: readonly number[], rows: number): number {
  const columns = a.length / rows;
  const row = (of: readonly number[], i: number) => of.slice(i * columns, (i + 1) * columns);
  return Math.min(...Array.from({ length: rows }, (_, i) => cosine(row(a, i), row(b, i))));
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** Alternates until each has computed for `seconds`. */
async function measure(forms: readonly EmbedderProcess[], tower: Tower, batch: number, seconds: number) {
  const times = forms.map((): number[] => []);
  const outputs: (readonly number[])[] = [];
  for (let enough = false; !enough; ) {
    for (const [i, form] of forms.entries()) {
      const typical = times[i]!.length > 0 ? percentile(times[i]!, 0.5) : 1e3 * TURN_SECONDS;
      const calls = Math.max(1, Math.round((1e3 * TURN_SECONDS) / typical));
      const { milliseconds, embeddings } = await form.request({ tower, batch, calls });
      times[i]!.push(...milliseconds);
      outputs[i] = embeddings;
    }
    enough = times.every(
      (all) => all.length >= MIN_CALLS && all.reduce((sum, each) => sum + each, 0) > 1e3 * seconds,
    );
  }
  return { times, outputs };
}

interface Row {
  readonly tower: Tower;
  readonly batch: number;
  readonly form: string;
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
  /** The peer's times divided by ours; the least cosine of our embeddings with the peer's. */
  readonly ratio50?: number;
  readonly ratio99?: number;
  readonly cosine?: number;
}

function print(row: Row, json: boolean): void {
  if (json) {
    console.log(JSON.stringify(row));
    return;
  }
  const { tower, batch, form, calls, p50, p99, ratio50, ratio99 } = row;
  const name = `${tower} ${batch}`.padEnd(9);
  const times = [p50, p99].map((ms) => `${ms.toFixed(2).padStart(9)} ms`).join(" p99 ");
  const ratios =
    ratio50 === undefined
      ? ""
      : `   eva-clip is ${ratio50.toFixed(2)} x, at p99 ${ratio99!.toFixed(2)} x as fast; cosine ${row.cosine!.toFixed(6)}`;
  console.log(`${name} ${form.padEnd(16)} p50 ${times} of ${String(calls).padStart(4)}${ratios}`);
}

async function compare(
  processes: readonly EmbedderProcess[],
  tower: Tower,
  batch: number,
  { seconds, json }: { seconds: number; json: boolean },
): Promise<void> {
  const { times, outputs } = await measure(processes, tower, batch, seconds);
  const peer = processes.length - 1;
  const [peer50, peer99] = [percentile(times[peer]!, 0.5), percentile(times[peer]!, 0.99)];
  processes.forEach(({ form }, i) => {
    const all = times[i]!;
    const row = {
      tower,
      batch,
      form,
      calls: all.length,
      p50: percentile(all, 0.5),
      p99: percentile(all, 0.99),
    };
    if (i === peer) return print(row, json);
    const found = leastCosine(outputs[i]!, outputs[peer]!, batch);
    print({ ...row, ratio50: peer50 / row.p50, ratio99: peer99 / row.p99, cosine: found }, json);
    const least = LEAST_COSINE[form.endsWith("bf16") ? "bf16" : "f32"];
    if (!(found > least)) throw new Error(`${form}, ${tower} ${batch}: cosine ${found}, less than ${least}`);
  });
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      tower: { type: "string", default: "image,text" },
      batch: { type: "string", default: "1,8,32" },
      precision: { type: "string", default: "f32,bf16" },
      seconds: { type: "string", default: "20" },
      threads: { type: "string", default: String(availableProcessors()) },
      folder: { type: "string", default: join(__dirname, "..", "build", "bench_embed") },
      json: { type: "boolean", default: false },
    },
  });
  const threads = Number(options.threads);
  const settings = { ...(await prepare(resolve(options.folder))), threads };
  const precisions = options.precision.split(",") as Precision[];
  const starting = precisions.map((each) => EmbedderProcess.start(`eva-clip ${each}`, each, settings));
  const processes = await Promise.all([...starting, EmbedderProcess.start(PEER, "onnxruntime", settings)]);
  const how = { seconds: Number(options.seconds), json: options.json };
  for (const tower of options.tower.split(",") as Tower[])
    for (const batch of options.batch.split(",")) await compare(processes, tower, Number(batch), how);
  for (const each of processes) await each.stop();
}

void main();
