// One training step (forward, backward, LAMB) of EVA02-CLIP-B/16 and of the demo's model, against PyTorch on the same
// cores: the two alternate, so that other load on the machine affects both alike, and medians are compared.
//   npm run bench -- train_step [--model b16,demo] [--precision f32,bf16] [--rounds 7] [--profile] [--json]
// It also prints which share of the processor's peaks the whole step reaches with its useful FLOPs: GEMMs, attention (of the
// real captions' lengths) and loss. The peaks are measured after every step, because the speed of a shared machine changes.
// The peer needs PyTorch, timm and a C++ compiler; its Python is EVA_CLIP_PEER_PYTHON, by default `python3`.
import { parseArgs } from "node:util";
import { availableProcessors } from "../lib/container_limits";
import { Device } from "../lib/device";
import type { ClipConfig } from "../lib/models/clip_config";
import { compare, median, printRows } from "./comparison";
import { peerForms, startTrainingPeer } from "./peer";
import { highest, type Peak, peakMeter, printProfile, profileStep } from "./profile";
import { captionLengths, prepareTraining, type TrainingCase, trainingCases } from "./training_case";

const WARM_UPS = 2;

async function measure(
  chosen: TrainingCase,
  precision: "f32" | "bf16",
  rounds: number,
  threads: number,
  profile: boolean,
) {
  const device = await Device.open("cpu", { threads });
  const longest = chosen.config.text_cfg.context_length;
  const lengths = captionLengths(chosen, longest);
  const forms = peerForms[precision];
  const started = await startTrainingPeer("train_step.py", {
    precision,
    model: chosen.peerModel,
    optimizer: chosen.peerOptimizer,
    lengths,
    threads,
  });
  const ours = await prepareTraining(device, chosen, { precision, lengths });
  const form = `eva-clip ${precision}`;
  for (let i = 0; i < WARM_UPS; i++) await ours.step();
  const seconds = new Map<string, number[]>([form, ...forms].map((each) => [each, []]));
  const measurePeaks = peakMeter(precision, threads);
  const peaks: (readonly Peak[])[] = [];
  for (let round = 0; round < rounds; round++) {
    seconds.get(form)!.push(await ours.step());
    if (measurePeaks) peaks.push(measurePeaks());
    if (started) for (const peerForm of forms) seconds.get(peerForm)!.push(await started.peer.step(peerForm));
  }
  started?.peer.stop();
  const ops = await profileStep(ours.training.programs(), ours.step);
  if (profile) printProfile(ops, measurePeaks && highest(measurePeaks()));
  ours.dispose();
  await device.dispose();
  const flops = ops.reduce((sum, op) => sum + op.flops, 0) + packedAttentionFlops(chosen.config, lengths);
  const rates = seconds.get(form)!.map((each) => flops / 1e9 / each);
  const facts = { case: chosen.name, torch: started?.version, threads, batch: chosen.batch };
  const rows = compare(seconds, facts);
  const whole = { case: chosen.name, form, gflop: flops / 1e9, gflops: median(rates) };
  return { rows, whole: { ...whole, peaks: sharesOf(rates, peaks) } };
}

/** Median shares of the peaks that were measured beside each of the `rates`. */
function sharesOf(rates: readonly number[], peaks: readonly (readonly Peak[])[]): PeakShare[] {
  return (peaks[0] ?? []).map(({ instructions }, i) => ({
    instructions,
    gflops: median(peaks.map((each) => each[i]!.gflops)),
    share: median(rates.map((rate, round) => rate / peaks[round]![i]!.gflops)),
  }));
}

/**
 * Forward and backward FLOPs of the captions' attention as ops count those of images: 4 N² D per head, half of that because
 * it is causal, and 2.5 times that backward. The ops count none, because lengths are known only at run time.
 */
function packedAttentionFlops({ text_cfg: text }: ClipConfig, lengths: readonly number[]): number {
  const squares = lengths.reduce((sum, length) => sum + length ** 2, 0);
  return 3.5 * 2 * squares * text.width * text.layers;
}

interface PeakShare extends Peak {
  readonly share: number;
}

interface WholeStep {
  readonly case: string;
  readonly form: string;
  readonly gflop: number;
  readonly gflops: number;
  readonly peaks: readonly PeakShare[];
}

function printWhole(whole: WholeStep, json: boolean): void {
  const { form, gflop, gflops, peaks } = whole;
  if (json) {
    console.log(JSON.stringify(whole));
    return;
  }
  console.log(`${form}: ${gflop.toFixed(1)} GFLOP per step, ${gflops.toFixed(0)} GFLOP/s`);
  if (peaks.length === 0) console.log("  no C compiler to measure the peak with");
  for (const peak of peaks) {
    const share = (100 * peak.share).toFixed(1);
    console.log(
      `  ${share} % of ${peak.instructions} (${peak.gflops.toFixed(0)} GFLOP/s, measured beside it)`,
    );
  }
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      model: { type: "string", default: "b16,demo" },
      precision: { type: "string", default: "f32,bf16" },
      rounds: { type: "string", default: "7" },
      threads: { type: "string", default: String(availableProcessors()) },
      profile: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  for (const model of options.model.split(",")) {
    for (const precision of options.precision.split(",") as ("f32" | "bf16")[]) {
      const chosen = trainingCases[model];
      if (!chosen || !(precision in peerForms)) throw new Error(`no case ${model} ${precision}`);
      const { rows, whole } = await measure(
        chosen,
        precision,
        Number(options.rounds),
        Number(options.threads),
        options.profile,
      );
      printRows(rows, options.json);
      printWhole(whole, options.json);
    }
  }
}

void main();
