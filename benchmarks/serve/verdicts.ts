import { table } from "../../lib/cli/output";

/** A measured value with its goal. */
export interface Verdict {
  what: string;
  value: string;
  goal: string;
  /** Undefined where there is no goal. */
  met?: boolean;
}

/** Prints the verdicts. @returns whether every goal is met */
export function printVerdicts(verdicts: readonly Verdict[], json: boolean): boolean {
  const word = ({ met }: Verdict) => (met === undefined ? "" : met ? "met" : "MISSED");
  if (json) for (const verdict of verdicts) console.log(JSON.stringify(verdict));
  else
    console.log(
      table(
        ["what", "value", "goal", ""],
        verdicts.map((one) => [one.what, one.value, one.goal, word(one)]),
      ),
    );
  return verdicts.every(({ met }) => met !== false);
}

export function below(what: string, value: number, goal: number, unit = ""): Verdict {
  const shown = (number: number) => `${Number(number.toPrecision(3))}${unit}`;
  return { what, value: shown(value), goal: `at most ${shown(goal)}`, met: value <= goal };
}

/** How far the memory of tenths of a run is from their mean. */
export function memoryVerdict({ tenths, peak }: { tenths: number[]; peak: number }): Verdict {
  const mean = tenths.reduce((sum, bytes) => sum + bytes, 0) / tenths.length;
  const deviation = Math.max(...tenths.map((bytes) => Math.abs(bytes / mean - 1)));
  const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  const value = `± ${(100 * deviation).toFixed(1)} % of ${megabytes(mean)} MB`;
  const what = `memory of the server, medians of tenths (peak ${megabytes(peak)} MB)`;
  return { what, value, goal: "± 5 %", met: deviation <= 0.05 };
}
