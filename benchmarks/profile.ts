import { spawnSync } from "node:child_process";
import type { Program } from "../lib/compile";

interface OpTime {
  op: string;
  calls: number;
  seconds: number;
  flops: number;
}

/** A rate of multiply-adds that the processor has for a precision, of all threads together. */
export interface Peak {
  readonly gflops: number;
  readonly instructions: string;
}

/**
 * Profiles one step, after one that is not counted, in which the kernel returns memory that it had reclaimed.
 * @returns the ops of the step, those that take longest first
 */
export async function profileStep(
  programs: Promise<Program[]>,
  step: () => Promise<unknown>,
): Promise<OpTime[]> {
  const all = await programs;
  await step();
  for (const program of all) await program.startProfile();
  await step();
  const byOp = new Map<string, OpTime>();
  for (const timing of (await Promise.all(all.map((program) => program.profile()))).flat()) {
    const sum = byOp.get(timing.op) ?? { op: timing.op, calls: 0, seconds: 0, flops: 0 };
    sum.calls += timing.calls;
    sum.seconds += timing.seconds;
    sum.flops += timing.flops;
    byOp.set(timing.op, sum);
  }
  return [...byOp.values()].filter(({ calls }) => calls > 0).sort((a, b) => b.seconds - a.seconds);
}

/** Prints for each op: calls, time, share of the step, GFLOP/s and the share of the peak. */
export function printProfile(rows: readonly OpTime[], peak: Peak | undefined): void {
  const total = rows.reduce((sum, { seconds }) => sum + seconds, 0);
  console.log(
    `${"op".padEnd(26)} ${"calls".padStart(6)} ${"ms".padStart(9)} ${"share".padStart(6)} ${"GFLOP/s".padStart(8)} of peak`,
  );
  for (const { op, calls, seconds, flops } of rows) {
    const rate = flops / seconds / 1e9;
    const speed = flops > 0 ? rate.toFixed(0).padStart(8) : "       -";
    const share = flops > 0 && peak ? `${((100 * rate) / peak.gflops).toFixed(0).padStart(5)} %` : "      -";
    const time = (seconds * 1e3).toFixed(2).padStart(9);
    console.log(
      `${op.padEnd(26)} ${String(calls).padStart(6)} ${time} ${((100 * seconds) / total).toFixed(1).padStart(5)}% ${speed} ${share}`,
    );
  }
  console.log(`${"all".padEnd(26)} ${"".padStart(6)} ${(total * 1e3).toFixed(2).padStart(9)}`);
}

/** Measures the peaks of `threads` cores by a small C program; undefined without a compiler. */
export function peakMeter(precision: "f32" | "bf16", threads: number): (() => readonly Peak[]) | undefined {
  const folder = `${__dirname}/native`;
  const binary = `${__dirname}/../build/peak`;
  const sources = [`${folder}/peak.c`, `${folder}/peak_windows.c`];
  const built = spawnSync("cc", ["-O3", "-march=native", "-fopenmp", ...sources, "-o", binary]);
  if (built.status !== 0) return undefined;
  return () => {
    const env = { ...process.env, OMP_NUM_THREADS: String(threads) };
    const { stdout } = spawnSync(binary, [], { encoding: "utf8", env });
    const { f32, ...bf16 } = JSON.parse(stdout) as Record<string, number>;
    const f32Peak = { gflops: f32!, instructions: "f32 multiply-adds" };
    const bf16Peaks = Object.entries(bf16).map(([instructions, gflops]) => ({ instructions, gflops }));
    return precision === "bf16" && bf16Peaks.length > 0 ? bf16Peaks : [f32Peak];
  };
}

export function highest(peaks: readonly Peak[]): Peak {
  return peaks.reduce((best, each) => (each.gflops > best.gflops ? each : best));
}
