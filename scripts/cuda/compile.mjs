// Compiler launcher for nvcc in the CUDA backend: saves ptxas's report of the kernels (registers, spills) as OBJECT.ptxas, so
// that it is available even if the object is up to date.
//   node scripts/cuda/compile.mjs [ccache] nvcc …
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const [program, ...args] = process.argv.slice(2);
const { status, stdout, stderr, error } = spawnSync(program, args, {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "pipe"],
  maxBuffer: 1 << 28,
});
if (error) throw error;
process.stdout.write(stdout);
const isPtxasReport = (line) => /^ptxas info|^\s+\d+ bytes stack frame|^\s*$/.test(line);
const lines = stderr.split("\n");
process.stderr.write(lines.filter((line) => !isPtxasReport(line)).join("\n"));
const object = args[args.lastIndexOf("-o") + 1];
if (status === 0 && args.includes("-o"))
  writeFileSync(`${object}.ptxas`, lines.filter(isPtxasReport).join("\n"));
process.exitCode = status ?? 1;
