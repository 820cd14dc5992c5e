import { spawnSync } from "node:child_process";
import type { Program } from "../lib/compile";

interface OpTime {
  op: string;
  calls: number;
  seconds: number;
  flops: number;
}

/**
 * Profiles one more step and prints for each op: calls, time, share of the step, GFLOP/s and the share of the measured
 * multiply-add peak.
 * @param peak GFLOP/s of all threads together, measured on this machine.
 */
export async function printProfile(
  programs: Promise<Program[]>,
  step: () => Promise<unknown>,
  peak: number | undefined,
): Promise<void> {
  const all = await programs;
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
  const rows = [...byOp.values()].filter(({ calls }) => calls > 0).sort((a, b) => b.seconds - a.seconds);
  const total = rows.reduce((sum, { seconds }) => sum + seconds, 0);
  console.log(
    `${"op".padEnd(26)} ${"calls".padStart(6)} ${"ms".padStart(9)} ${"share".padStart(6)} ${"GFLOP/s".padStart(8)} of peak`,
  );
  for (const { op, calls, seconds, flops } of rows) {
    const rate = flops / seconds / 1e9;
    const speed = flops > 0 ? rate.toFixed(0).padStart(8) : "       -";
    const share = flops > 0 && peak ? `${((100 * rate) / peak).toFixed(0).padStart(5)} %` : "      -";
    const time = (seconds * 1e3).toFixed(2).padStart(9);
    console.log(
      `${op.padEnd(26)} ${String(calls).padStart(6)} ${time} ${((100 * seconds) / total).toFixed(1).padStart(5)}% ${speed} ${share}`,
    );
  }
  console.log(`${"all".padEnd(26)} ${"".padStart(6)} ${(total * 1e3).toFixed(2).padStart(9)}`);
}

/** The f32 multiply-add peak of `threads` cores in GFLOP/s, by a small C program; undefined without a compiler. */
export function measurePeak(threads: number): number | undefined {
  const folder = `${__dirname}/native`;
  const binary = `${__dirname}/../build/peak`;
  const built = spawnSync("cc", ["-O3", "-march=native", "-fopenmp", `${folder}/peak.c`, "-o", binary]);
  if (built.status !== 0) return undefined;
  const run = spawnSync(binary, [], {
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: String(threads) },
  });
  return run.status === 0 ? Number(run.stdout) : undefined;
}
