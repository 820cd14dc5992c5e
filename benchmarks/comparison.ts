/** What one form of a piece of work took, and how that compares with ours. */
export interface Row {
  case: string;
  form: string;
  milliseconds: number;
  samplesPerSecond: number;
  /** Its time over ours. */
  ratio: number;
  torch: string | undefined;
  threads: number;
}

export const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/**
 * The medians of forms that took turns.
 * @param seconds of each round, by form; the first form is ours
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
    console.log(`${row.case}  ${form.padEnd(24)} ${speed}   ours is ${ratio.toFixed(2)} x`);
  }
}
