/** The time of one variant of a task, relative to eva-clip's. */
export interface Row {
  case: string;
  form: string;
  milliseconds: number;
  samplesPerSecond: number;
  /** Its time divided by eva-clip's. */
  ratio: number;
  torch: string | undefined;
  threads: number;
}

export const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

export async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1e3;
}

/**
 * The medians of variants that were run alternately.
 * @param seconds of each round, by variant; the first is eva-clip's
 */
export function compare(
  seconds: ReadonlyMap<string, readonly number[]>,
  facts: Pick<Row, "case" | "torch" | "threads"> & { batch: number },
): Row[] {
  const { batch, ...rest } = facts;
  const measured = [...seconds].filter(([, values]) => values.length > 0);
  const ours = median(measured[0]![1]);
  return measured.map(([form, values]) => {
    const each = median(values);
    return { ...rest, form, milliseconds: each * 1e3, samplesPerSecond: batch / each, ratio: each / ours };
  });
}

export function printRows(rows: readonly Row[], json: boolean): void {
  for (const row of rows) {
    if (json) {
      console.log(JSON.stringify(row));
      continue;
    }
    const { form, milliseconds, samplesPerSecond, ratio } = row;
    const speed = `${milliseconds.toFixed(1).padStart(9)} ms ${samplesPerSecond.toFixed(1).padStart(9)} samples/s`;
    console.log(`${row.case}  ${form.padEnd(24)} ${speed}   eva-clip is ${ratio.toFixed(2)} x as fast`);
  }
}
