// Peak resident memory of a training step of EVA02-CLIP-B/16 and L/14, with and without activation checkpointing, against
// PyTorch's eager step of the same size (AdamW in its fused form; bf16: autocast; torch.utils.checkpoint around each block).
// Each is measured over a few steps in a process of its own, whose memory before (runtime and libraries) is listed apart.
//   npm run bench -- memory [--model b16,l14] [--precision f32,bf16] [--batch N] [--steps 3] [--json]
// The peer needs PyTorch and timm; its Python is EVA_CLIP_PEER_PYTHON, by default `python3`.
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { availableProcessors } from "../lib/container_limits";
import { Device } from "../lib/device";
import { peakBytes, resetPeakBytes } from "./resident_memory";
import { captionLengths, prepareTraining, type TrainingCase, trainingCases } from "./training_case";

interface Task {
  readonly model: string;
  readonly batch: number;
  readonly precision: "f32" | "bf16";
  readonly checkpointing: boolean;
  readonly steps: number;
  readonly threads: number;
}

interface Measured {
  readonly bytesBefore: number;
  readonly peakBytes: number;
}

function caseOf({ model, batch }: Task): TrainingCase {
  return { ...trainingCases[model]!, batch, lamb: false };
}

const lengthsOf = (chosen: TrainingCase) => captionLengths(chosen, chosen.config.text_cfg.context_length);

/** The measurement of eva-clip, in the child process. */
async function measureHere(task: Task): Promise<Measured> {
  const bytesBefore = resetPeakBytes();
  const device = await Device.open("cpu", { threads: task.threads });
  const chosen = caseOf(task);
  const { precision, checkpointing: gradCheckpointing } = task;
  const form = { precision, lengths: lengthsOf(chosen), gradCheckpointing };
  const { step, dispose } = await prepareTraining(device, chosen, form);
  for (let i = 0; i < task.steps; i++) await step();
  const measured = { bytesBefore, peakBytes: peakBytes() };
  dispose();
  await device.dispose();
  return measured;
}

async function measureOurs(task: Task): Promise<Measured> {
  const child = fork(__filename, ["--child", JSON.stringify(task)]);
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`the measuring process ended with ${code}`);
  });
  ended.catch(() => undefined);
  const [measured] = (await Promise.race([once(child, "message"), ended])) as [Measured];
  return measured;
}

async function measurePeer(task: Task): Promise<Measured> {
  const { precision, checkpointing, steps, threads } = task;
  const chosen = caseOf(task);
  const python = process.env.EVA_CLIP_PEER_PYTHON ?? "python3";
  const child = spawn(python, [
    ...[join(__dirname, "peers", "memory.py"), "--model", chosen.peerModel, "--device", "cpu"],
    ...["--lengths", lengthsOf(chosen).join(","), "--precision", precision, "--steps", String(steps)],
    ...["--threads", String(threads), ...(checkpointing ? ["--checkpointing"] : [])],
  ]);
  let [out, errors] = ["", ""];
  child.stdout.on("data", (text: Buffer) => {
    out += text.toString();
  });
  child.stderr.on("data", (text: Buffer) => {
    errors += text.toString();
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(errors.trim().split("\n").at(-1));
  const last = out.trim().split("\n").at(-1)!;
  return JSON.parse(last) as Measured;
}

async function report(task: Task, json: boolean): Promise<void> {
  const forms = { "eva-clip": measureOurs, PyTorch: measurePeer };
  const found = new Map<string, Measured>();
  for (const [who, measure] of Object.entries(forms)) {
    try {
      found.set(who, await measure(task));
    } catch (error) {
      console.error(`${who}: not measured: ${(error as Error).message}`);
    }
  }
  const { model, batch, precision, checkpointing } = task;
  const ours = found.get("eva-clip");
  for (const [who, measured] of found) {
    const row = { who, model, batch, precision, checkpointing, ...measured };
    if (json) {
      console.log(JSON.stringify(row));
      continue;
    }
    const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MB`.padStart(8);
    const ratio =
      ours && who !== "eva-clip" ? `   ${(measured.peakBytes / ours.peakBytes).toFixed(2)} x` : "";
    console.log(
      `${model} batch ${batch} ${precision} ${checkpointing ? "checkpointing" : "plain        "}  ${who.padEnd(8)} ` +
        `peak ${megabytes(measured.peakBytes)}, before ${megabytes(measured.bytesBefore)}${ratio}`,
    );
  }
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      child: { type: "string" },
      model: { type: "string", default: "b16,l14" },
      precision: { type: "string", default: "f32,bf16" },
      batch: { type: "string" },
      steps: { type: "string", default: "3" },
      threads: { type: "string", default: String(availableProcessors()) },
      json: { type: "boolean", default: false },
    },
  });
  if (options.child !== undefined) {
    process.send!(await measureHere(JSON.parse(options.child) as Task), () => process.disconnect());
    return;
  }
  const [steps, threads] = [Number(options.steps), Number(options.threads)];
  for (const model of options.model.split(",")) {
    const batch = Number(options.batch ?? trainingCases[model]!.batch);
    for (const precision of options.precision.split(",") as Task["precision"][])
      for (const checkpointing of [false, true])
        await report({ model, batch, precision, checkpointing, steps, threads }, options.json);
  }
}

void main();
