import { readFileSync, writeFileSync } from "node:fs";

/** A field of /proc/self/status, in bytes. */
function statusBytes(field: "VmRSS" | "VmHWM"): number {
  const [, kilobytes] = new RegExp(`${field}:\\s*(\\d+) kB`).exec(readFileSync("/proc/self/status", "utf8"))!;
  return Number(kilobytes) * 1024;
}

/** Largest resident memory of this process since `resetPeakBytes`. */
export const peakBytes = (): number => statusBytes("VmHWM");

/** Forgets the peak so far, such as the TypeScript compiler's; returns what is resident now. */
export function resetPeakBytes(): number {
  writeFileSync("/proc/self/clear_refs", "5");
  return statusBytes("VmRSS");
}
