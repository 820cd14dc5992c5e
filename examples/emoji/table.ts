import type { Example } from "./report/sections";
import { type DemoResult, percent, resultRows, thousands } from "./result";

/** The result table for the terminal, one line per test. */
export function resultTable(result: DemoResult): string {
  const header = ["", "names", "top-1", "top-5", "chance", "raw pixels*"];
  const rows = resultRows(result).map((row) => [
    row.name,
    thousands(row.choices),
    percent(row.top1),
    percent(row.top5),
    percent(1 / row.choices),
    row.pixelTop1 === undefined ? "" : percent(row.pixelTop1),
  ]);
  const lines = alignColumns([header, ...rows]);
  const rule = "-".repeat(Math.max(...lines.map((line) => line.length)));
  return [
    lines[0],
    rule,
    ...lines.slice(1),
    rule,
    "* top-1 of the nearest training drawing by raw pixels: no learning, no captions.",
  ].join("\n");
}

/** Test images and the model's predictions, one line per image. */
export function exampleLines(examples: readonly Example[]): string {
  const rows = examples.map(({ label, unseen, names }) => [
    `${names[0]?.right ? "✓" : "✗"} ${label}${unseen ? " (unseen)" : ""}`,
    names.map((name) => `${name.label} ${Math.round(name.probability * 100)} %`).join(", "),
  ]);
  const width = Math.max(...rows.map(([label]) => label!.length));
  return rows.map(([label, names]) => `  ${label!.padEnd(width)}  ${names}`).join("\n");
}

/** Aligns the first column left and the others right. */
function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
}
