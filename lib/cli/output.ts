import { inspect } from "node:util";

/** Results go to standard output, everything else to standard error. */
export function printResult(result: unknown, json: boolean, text: (result: never) => string): void {
  if (json) printDocument(result);
  else process.stdout.write(`${text(result as never)}\n`);
}

/** The one document of `--json`. */
export function printDocument(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

export function say(message: string): void {
  process.stderr.write(`${message}\n`);
}

/** One line with the stable code; unexpected errors are printed with their stack. */
export function describeError(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  if (typeof code === "string" && typeof message === "string") return `error: ${message} (${code})`;
  return `error: ${inspect(error)}`;
}

/** What `--json` prints instead of a result. */
export function errorDocument(error: unknown): unknown {
  const { code, message, details } = error as { code?: string; message?: string; details?: unknown };
  return { error: { code: code ?? "ERR_EVACLIP_INTERNAL", message: message ?? String(error), details } };
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

/** 86192640 → "86.2 M" */
export function count(number: number): string {
  const units = [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const;
  const [size, unit] = units.find(([least]) => number >= least) ?? [1, ""];
  return size === 1 ? String(number) : `${(number / size).toFixed(1)} ${unit}`;
}

/** 299568896 → "299.6 MB" */
export function bytes(number: number): string {
  const units = [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "kB"],
  ] as const;
  const [size, unit] = units.find(([least]) => number >= least) ?? [1, "B"];
  return size === 1 ? `${Math.round(number)} B` : `${(number / size).toFixed(1)} ${unit}`;
}

/** Names and values in two columns. */
export function columns(rows: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

/** Rows under headings; columns of numbers are right-aligned. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const isNumber = headings.map((_, column) => rows.every((row) => /^(\d.*)?$/.test(row[column]!)));
  const pad = (text: string, column: number) =>
    isNumber[column] ? text.padStart(widths[column]!) : text.padEnd(widths[column]!);
  return cells.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
