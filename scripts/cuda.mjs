// Builds the CUDA backend next to the addon, and prints the registers of each kernel. None may use local memory: a spill
// means that a tile is too large or too many blocks per SM are asked for, a stack frame without one an array that is indexed
// by a variable.
//   node scripts/cuda.mjs [--architectures 90a] [--tests]     --tests: also build the GPU test programs
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const root = resolve(import.meta.dirname, "..");
const { values: options } = parseArgs({
  options: { architectures: { type: "string" }, tests: { type: "boolean", default: false } },
});
/** Keeps the package, with its other libraries, below the size limit of the registry. */
const MAX_BYTES = 40e6;

function build() {
  const architectures = options.architectures ? ["--cuda-architectures", options.architectures] : [];
  const tests = options.tests ? ["--gpu-tests"] : [];
  const script = join(root, "scripts", "native.mjs");
  return spawnSync(process.execPath, [script, "--cuda", ...architectures, ...tests], { stdio: "inherit" })
    .status;
}

/** ptxas's report per kernel: { name, architecture, registers, spilled, stack, shared }. */
function kernelReports(folder) {
  const reports = [];
  for (const file of readdirSync(folder, { recursive: true })) {
    if (!file.endsWith(".ptxas") || !file.includes("eva_cuda_kernels.dir")) continue;
    let current;
    for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
      const entry = /Compiling entry function '(\S+)' for '(\S+)'/.exec(line);
      if (entry) {
        current = { name: entry[1], architecture: entry[2], spilled: 0, stack: 0, shared: 0 };
        reports.push(current);
      }
      const local = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
      if (local && current) {
        // Functions that are not inlined have lines of their own.
        current.stack += Number(local[1]);
        current.spilled += Number(local[2]) + Number(local[3]);
      }
      const used = /Used (\d+) registers/.exec(line);
      if (used && current) current.registers = Number(used[1]);
      const shared = /(\d+) bytes smem/.exec(line);
      if (shared && current) current.shared = Number(shared[1]);
    }
  }
  return reports;
}

function demangle(reports) {
  const names = [...new Set(reports.map(({ name }) => name))];
  const text = execFileSync("c++filt", [], { input: names.join("\n"), encoding: "utf8", maxBuffer: 1 << 26 });
  const readable = text.split("\n").map((name) =>
    name
      .replaceAll("eva::cuda::", "")
      .replaceAll("(anonymous namespace)::", "")
      .replace(/^void /, "")
      .replaceAll(/\([\w: ]+\)(?=-?\d)/g, "") // types of template arguments
      .replace(/\(.*$/, ""),
  );
  const found = new Map(names.map((name, i) => [name, readable[i]]));
  return reports.map((report) => ({ ...report, name: found.get(report.name) }));
}

/** One line per kernel: registers by architecture, and spilled bytes in brackets if any. */
function table(reports) {
  const architectures = [...new Set(reports.map(({ architecture }) => architecture))];
  const kernels = [...new Set(reports.map(({ name }) => name))].sort();
  const width = Math.min(72, Math.max(...kernels.map((name) => name.length)));
  const cell = (name, architecture) => {
    const found = reports.filter((report) => report.name === name && report.architecture === architecture);
    const registers = Math.max(...found.map((report) => report.registers));
    const spilled = Math.max(...found.map((report) => report.spilled));
    return `${registers}${spilled > 0 ? ` (${spilled} B)` : ""}`.padStart(12);
  };
  const row = (name, cells) => `${name.slice(0, width).padEnd(width)}${cells.join("")}`;
  return [
    row(
      "registers of a thread (spilled bytes)",
      architectures.map((name) => name.padStart(12)),
    ),
    ...kernels.map((name) =>
      row(
        name,
        architectures.map((architecture) => cell(name, architecture)),
      ),
    ),
  ].join("\n");
}

const started = performance.now();
process.exitCode = build() ?? 1;
if (process.exitCode === 0) {
  const reports = demangle(kernelReports(join(root, "build", "native-Release")));
  console.log(table(reports));
  const bytes = statSync(join(root, "build", "Release", "libeva_clip_cuda.so")).size;
  const seconds = ((performance.now() - started) / 1e3).toFixed(0);
  console.log(
    `libeva_clip_cuda.so: ${(bytes / 1e6).toFixed(1)} MB, ${reports.length} kernels, built in ${seconds} s`,
  );
  const local = reports.filter(({ spilled, stack }) => spilled > 0 || stack > 0);
  for (const { name, architecture, spilled, stack } of local) {
    console.error(`${name} spills ${spilled} bytes on ${architecture}; its stack frame has ${stack}`);
  }
  if (bytes > MAX_BYTES) console.error(`the library is larger than ${MAX_BYTES / 1e6} MB`);
  if (local.length > 0 || bytes > MAX_BYTES) process.exitCode = 1;
}
