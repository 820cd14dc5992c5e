// Prints the results of scripts/gpu_check as one table: our lines, and PyTorch's of the same part below them.
//   node gpu_table.js results.jsonl
import { readFileSync } from "node:fs";

type Result = Record<string, string | number | undefined>;

/** What is told of a line's case, in this order, where it has it. */
const CASE_FIELDS = ["model", "shape", "name", "impl", "prec", "mode", "text", "sdpa", "dtype", "type", "B"];

/** Heading, and the fields that may fill the column. */
const COLUMNS: readonly (readonly [string, readonly string[]])[] = [
  ["ms", ["ms", "latency_ms"]],
  ["ms backward", ["ms_bwd", "ms_alone"]],
  ["TF/s, GB/s", ["tflops", "gbps"]],
  ["backward", ["tflops_bwd", "gbps_bwd"]],
  ["samples/s", ["samples_per_s"]],
];

function readResults(path: string): Result[] {
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Result);
}

function caseOf(result: Result): string {
  const who = result.who === "ours" ? "ours" : "PyTorch";
  const facts = CASE_FIELDS.filter((field) => result[field] !== undefined && result[field] !== "");
  return `${who}: ${facts.map((field) => (field === "B" ? `B=${result.B}` : result[field])).join(" ")}`;
}

function cell(result: Result, fields: readonly string[]): string {
  const value = fields.map((field) => result[field]).find((found) => typeof found === "number");
  return (value === undefined ? "-" : Number(value).toPrecision(4)).padStart(13);
}

const results = readResults(process.argv[2]!);
const parts = [...new Set(results.map(({ part }) => String(part)))].filter((part) => part !== "machine");
console.log(`${"case".padEnd(76)}${COLUMNS.map(([heading]) => heading.padStart(13)).join("")}`);
for (const part of parts.sort()) {
  console.log(part);
  const lines = results.filter((result) => result.part === part);
  for (const result of lines.sort((a, b) => Number(b.who === "ours") - Number(a.who === "ours"))) {
    const numbers = result.error
      ? `  ${result.error}`.slice(0, 65)
      : COLUMNS.map(([, fields]) => cell(result, fields)).join("");
    console.log(`  ${caseOf(result).slice(0, 72).padEnd(74)}${numbers}`);
  }
}
