// Disassembles the addon and verifies that only kernels compiled for newer processors contain their instructions: an
// inline function or template shared with baseline code would crash older processors.
//   node scripts/check_isa.mjs [FILE.node]
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const root = resolve(import.meta.dirname, "..");
const file = resolve(process.argv[2] ?? resolve(root, "build/Release/eva_clip.node"));

/** A function of namespace eva::cpu::v3, v4 or v4_bf16, or derived from one (OpenMP bodies, lambdas, instantiations with its types). */
const NEWER_KERNEL = /3eva3cpu(2v[34]|7v4_bf16)/;
/** A copy that GCC specialized within one object file, and only called from there. */
const LOCAL_CLONE = /\.(isra|constprop|part)\.\d+(\.cold)?$/;
/** AVX and AVX-512 instructions use these registers or are VEX-encoded, with a leading v in assembler syntax. */
const NEWER_INSTRUCTION = /%[yz]mm\d|\tv[a-z0-9]+ .*%xmm/;
/** AMX is chosen apart from the variants: its instructions stay in namespace eva::cpu::v4_bf16::amx. */
const AMX_KERNEL = /3eva3cpu7v4_bf163amx/;
const AMX_INSTRUCTION = /%tmm\d|\t(ldtilecfg|sttilecfg|tilerelease)\b/;

const isMisplaced = (line, name) =>
  !LOCAL_CLONE.test(name) &&
  ((AMX_INSTRUCTION.test(line) && !AMX_KERNEL.test(name)) ||
    (NEWER_INSTRUCTION.test(line) && !NEWER_KERNEL.test(name)));

async function offendingFunctions() {
  const objdump = spawn("objdump", ["--disassemble", "--no-show-raw-insn", file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const finished = new Promise((done, failed) => objdump.on("error", failed).on("close", done));
  const offenders = new Map();
  let current = "";
  let functions = 0;
  for await (const line of createInterface({ input: objdump.stdout })) {
    const [, name] = /^[0-9a-f]+ <(.*)>:$/.exec(line) ?? [];
    if (name !== undefined) {
      current = name;
      functions += 1;
    } else if (!offenders.has(current) && isMisplaced(line, current)) {
      offenders.set(current, line.trim());
    }
  }
  if ((await finished) !== 0) throw new Error(`objdump could not read ${file}`);
  return { offenders, functions };
}

const { offenders, functions } = await offendingFunctions();
for (const [name, instruction] of offenders) console.error(`${name}: ${instruction}`);
console.error(
  `check_isa: ${functions} functions, ${offenders.size} with instructions beyond x86-64-v2, or of AMX, in the wrong place`,
);
process.exitCode = offenders.size === 0 && functions > 0 ? 0 : 1;
