// Prints the results of scripts/gpu_check: for every case eva-clip and its fastest peer, then the goals.
//   node gpu_table.js results.jsonl
import { readFileSync } from "node:fs";

type Result = Record<string, string | number | undefined>;

/** Peaks without sparsity, by the start of the device name: TFLOP/s in bf16, GB/s. */
const PEAKS: readonly (readonly [string, number, number])[] = [
  ["NVIDIA H200", 989.4, 4800],
  ["NVIDIA H100 PCIe", 756, 2000],
  ["NVIDIA H100", 989.4, 3350],
  ["NVIDIA A100-SXM4-80GB", 312, 2039],
  ["NVIDIA A100", 312, 1555],
  ["NVIDIA L40S", 362, 864],
  ["NVIDIA GeForce RTX 4090", 165, 1008],
];

/** The case of a line, within which lines are compared; undefined if it has no counterpart. */
const CASES: Readonly<Record<string, (result: Result) => string | undefined>> = {
  attn({ name, shape }) {
    const rotary = /rope/i.test(String(name)) ? " with RoPE" : "";
    return `attention ${String(shape).split(":")[0]}${rotary}`;
  },
  layers: ({ name }) => String(name),
  loss: ({ B, dtype }) => `contrastive loss B=${B} ${dtype}`,
  // Not comparable: AdamW is another rule, and bf16 weights move fewer bytes.
  optim: ({ name, model }) => (/adamw|bf16/.test(String(name)) ? undefined : `LAMB ${model}`),
  train: ({ model, clock }) =>
    model === undefined ? undefined : `train step ${shortName(model)}${clock ?? ""}`,
  embed({ name, model, B, clock }) {
    const tower = String(name).split(" ")[0];
    return `embed ${tower} ${shortName(model)}${B === 1 ? " latency" : (clock ?? "")}`;
  },
};

/** Model names in the peers' programs. */
function shortName(model: string | number | undefined): string {
  const [, family, patch] = /EVA02-CLIP-([BL])-(\d+)/.exec(String(model)) ?? [];
  return family === undefined ? String(model) : family + patch;
}

interface Goal {
  what: string;
  case: RegExp;
  peers: RegExp;
  /** Required speed relative to the fastest of these peers: forward (or whole), and backward. */
  least: readonly [number, number?];
}

const GOALS: readonly Goal[] = [
  { what: "attention with RoPE", case: /^attention .* with RoPE$/, peers: /./, least: [2, 1.7] },
  { what: "LAMB against timm's", case: /^LAMB/, peers: /timm/, least: [3] },
  { what: "contrastive loss at 32k", case: /^contrastive loss B=32768/, peers: /./, least: [2] },
  { what: "train step against torch.compile", case: /^train step/, peers: /compile|ro\b/, least: [1.3] },
  { what: "train step against eager", case: /^train step/, peers: /eager/, least: [2] },
  { what: "embedding against torch.compile", case: /^embed .*\d$/, peers: /compile/, least: [1.2] },
];
const LEAST_MEMORY_RATIO = 50;

const numberIn = (result: Result | undefined, ...fields: readonly string[]) =>
  fields.map((field) => result?.[field]).find((value) => typeof value === "number");

/** Compared milliseconds: per call, or per sample if batch sizes differ. */
function cost(result: Result | undefined): number | undefined {
  const rate = numberIn(result, "samples_per_s");
  return rate === undefined ? numberIn(result, "latency_ms", "ms") : 1000 / rate;
}

/** Forward and backward together, for the loss, whose peers measure both at once. */
function totalCost(result: Result): number | undefined {
  const [forward, backward] = [cost(result), numberIn(result, "ms_bwd")];
  return result.part === "loss" && forward !== undefined ? forward + (backward ?? 0) : forward;
}

function fastest(results: readonly Result[], of: (result: Result) => number | undefined): Result | undefined {
  const timed = results.filter((result) => of(result) !== undefined);
  return timed.sort((a, b) => of(a)! - of(b)!)[0];
}

const peerName = (peer: Result) =>
  ["name", "impl", "prec", "mode", "text", "sdpa", "opt"]
    .map((field) => peer[field])
    .filter((value) => value !== undefined && value !== "-")
    .join(" ");

const backwardOf = (result: Result) => numberIn(result, "ms_bwd");
const quotient = (peer: number | undefined, own: number | undefined) =>
  peer === undefined || own === undefined ? undefined : peer / own;

interface Comparison {
  name: string;
  ours: Result;
  peers: readonly Result[];
}

/** Speed relative to the fastest of some peers, forward (or whole) and backward. */
function ratios({ ours, peers }: Comparison, chosen: RegExp): [number | undefined, number | undefined] {
  const among = peers.filter((peer) => chosen.test(peerName(peer)));
  const [forward, backward] = [fastest(among, totalCost), fastest(among, backwardOf)];
  return [
    quotient(forward && totalCost(forward), totalCost(ours)),
    ours.part === "loss" ? undefined : quotient(backward && backwardOf(backward), backwardOf(ours)),
  ];
}

/** A result whose whole calls were timed as well is two results: on the device, and by the clock with the upload. */
function byClock(result: Result): Result[] {
  const { ms_call: ms, samples_per_s_call: samples_per_s } = result;
  return samples_per_s === undefined
    ? [result]
    : [result, { ...result, ms, samples_per_s, clock: ", uploaded" }];
}

function compare(results: readonly Result[]): Comparison[] {
  const byCase = new Map<string, Result[]>();
  for (const result of results.flatMap(byClock).filter(({ error }) => error === undefined)) {
    const name = CASES[String(result.part)]?.(result);
    if (name !== undefined) byCase.set(name, [...(byCase.get(name) ?? []), result]);
  }
  return [...byCase].flatMap(([name, lines]) => {
    const ours = fastest(
      lines.filter(({ who }) => who === "eva-clip"),
      totalCost,
    );
    return ours ? [{ name, ours, peers: lines.filter(({ who }) => who !== "eva-clip") }] : [];
  });
}

/** Share of the roofline: of peak FLOP/s if the result has FLOP/s, otherwise of peak bandwidth. */
function roofline(result: Result, [tera, giga]: readonly [number, number], suffix = ""): number | undefined {
  const [operations, bytes] = [numberIn(result, `tflops${suffix}`), numberIn(result, `gbps${suffix}`)];
  return operations !== undefined ? operations / tera : bytes && bytes / giga;
}

const digits = (value: number | undefined) =>
  value === undefined ? "-" : value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
const percent = (share: number | undefined) => (share === undefined ? "-" : `${(100 * share).toFixed(0)} %`);
const times = (value: number | undefined) => (value === undefined ? "-" : `${value.toFixed(2)} x`);

function printComparisons(all: readonly Comparison[], peaks: readonly [number, number] | undefined): void {
  const row = (name: string, cells: readonly string[], last: string) =>
    console.log(`${name.padEnd(34)}${cells.map((cell) => cell.padStart(11)).join("")}  ${last}`);
  const headings = [
    "eva-clip",
    "backward",
    "of roofline",
    "backward",
    "best peer",
    "backward",
    "ratio",
    "backward",
  ];
  row("case (ms; embed, train: samples/s)", headings, "peer");
  for (const comparison of all) {
    const { name, ours, peers } = comparison;
    const [peer, peerBackward] = [fastest([...peers], totalCost), fastest([...peers], backwardOf)];
    const [forward, backward] = ratios(comparison, /./);
    const shown = (result: Result | undefined) =>
      numberIn(result, "samples_per_s") ?? (result && totalCost(result));
    const shares = peaks ? [roofline(ours, peaks), roofline(ours, peaks, "_bwd")].map(percent) : ["-", "-"];
    const peerCells = [digits(shown(peer)), digits(peerBackward && backwardOf(peerBackward))];
    const cells = [digits(shown(ours)), digits(backwardOf(ours)), ...shares, ...peerCells];
    row(name, [...cells, times(forward), times(backward)], peer ? peerName(peer) : "");
  }
}

function printGoals(all: readonly Comparison[]): void {
  console.log(`\n${"goal".padEnd(39)} ${"case".padEnd(39)} measured`);
  const line = (what: string, name: string, measured: string, isMet: boolean | undefined) =>
    console.log(
      `${what.padEnd(39)} ${name.padEnd(39)} ${measured.padStart(8)}  ${isMet === undefined ? "not measured" : isMet ? "met" : "MISSED"}`,
    );
  for (const { what, case: pattern, peers, least } of GOALS) {
    for (const comparison of all.filter(({ name }) => pattern.test(name))) {
      const found = ratios(comparison, peers);
      least.forEach((goal, i) => {
        const name = i === 0 ? comparison.name : `${comparison.name}, backward`;
        const isMet = found[i] === undefined ? undefined : found[i] >= goal!;
        line(`${what} >= ${goal} x`, name, times(found[i]), isMet);
      });
    }
  }
  for (const { name, ours, peers } of all.filter(({ name }) => /^contrastive loss B=32768/.test(name))) {
    const peer = fastest([...peers], (result) => numberIn(result, "peak_gb"));
    const openClip = peers.find((result) => result.name === "open_clip") ?? peer;
    const ratio = quotient(numberIn(openClip, "peak_gb"), numberIn(ours, "peak_gb"));
    const isMet = ratio === undefined ? undefined : ratio >= LEAST_MEMORY_RATIO;
    line(`memory, open_clip's / ours >= ${LEAST_MEMORY_RATIO} x`, name, times(ratio), isMet);
  }
}

function main(): void {
  const lines = readFileSync(process.argv[2]!, "utf8").split("\n");
  const results = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Result);
  const gpu = String(results.find(({ gpu }) => gpu !== undefined)?.gpu ?? "");
  const peaks = PEAKS.find(([name]) => gpu.startsWith(name));
  const all = compare(results);
  printComparisons(all, peaks && [peaks[1], peaks[2]]);
  printGoals(all);
  for (const { error, ...facts } of results.filter((result) => result.error !== undefined)) {
    console.log(`not measured: ${Object.values(facts).join(" ")}: ${error}`);
  }
}

main();
