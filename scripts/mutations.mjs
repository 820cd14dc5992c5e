// Mutation tests of the CUDA kernels and of the code around them: each mutant is a copy with one change, and must fail its emulated test
// with a report. Run after `node scripts/setup.mjs --tests`:
//   node scripts/mutations.mjs [--jobs N] [PART OF A FILE OR NAME…]
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { loadMutations, mutate } from "./check/mutations.mjs";

const root = resolve(import.meta.dirname, "..");
const build = join(root, "build", "native-Release");
const { values: options, positionals: wanted } = parseArgs({
  options: { jobs: { type: "string", default: String(availableParallelism()) } },
  allowPositionals: true,
});
const TEST_SECONDS = 600;

/** The report of a failing test: by a check of the test, by the emulator or by a sanitizer. */
const REPORT = /(?:FAILED:? (.*)|what\(\): +(.*)|ERROR: (AddressSanitizer: .*)|(runtime error: .*))\n/;

/** For faster builds: no debug information, and of UndefinedBehaviorSanitizer only the alignment check. */
const FAST_BUILD_OPTIONS = "-w -g0 -fno-sanitize=undefined -fsanitize=alignment";

const titleOf = ({ file, name }) => `${file}: ${name}`;
const programOf = (test) => `test/native/cuda/cuda_${test}_test`;

/** Runs a command in the build folder until `isEnough(output)`; resolves to { status, output }. */
function run(command, args, { seconds, isEnough = () => false } = {}) {
  return new Promise((settle) => {
    const standIn = join(build, "test", "native", "cuda", "libcublasLt.so.13");
    const env = {
      // So that attention takes the kernels of the largest GPUs.
      EVA_CLIP_EMULATOR_SHARED_KB: "227",
      ...process.env,
      OMP_NUM_THREADS: "1",
      ASAN_OPTIONS: "detect_leaks=0",
      EVA_CLIP_CUBLASLT: standIn,
    };
    const stdio = ["ignore", "pipe", "pipe"];
    const timeout = seconds && seconds * 1e3;
    const child = spawn(command, args, { cwd: build, env, stdio, timeout, killSignal: "SIGKILL" });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        if (isEnough(output)) child.kill("SIGKILL");
      });
    }
    child.on("close", (status) => settle({ status, output }));
  });
}

async function shell(command, failure) {
  const { status, output } = await run("sh", ["-c", command]);
  if (status !== 0) throw new Error(`${failure}:\n${output}`);
}

/** Runs a test until its first report; resolves to { passed, report }. */
async function runTest(program) {
  const { status, output } = await run(join(build, program), [], {
    seconds: TEST_SECONDS,
    isEnough: (text) => REPORT.test(text),
  });
  const report = REPORT.exec(output)?.slice(1).find(Boolean).trim();
  return { passed: status === 0, report };
}

/** The build's commands for a test program; the last one links it. */
function commandsOf(test) {
  const args = ["-C", build, "-t", "commands", programOf(test)];
  return execFileSync("ninja", args, { encoding: "utf8", maxBuffer: 1 << 28 })
    .trimEnd()
    .split("\n");
}

/** Compiles a kernel with the overlay first on the include path; resolves to its object and the replaced one. */
async function compile(commands, kernel, mutation, overlay) {
  const source = join(root, "csrc/cuda", kernel);
  const command = commands.find((line) => line.endsWith(` -c ${source}`));
  const [, replaced] = / -o (\S+) -c /.exec(command);
  const object = `${overlay}/${kernel.replaceAll("/", "_")}.o`;
  const compiled = kernel === mutation.file ? join(overlay, "cuda", kernel) : source;
  const changed = command
    .replaceAll(replaced, object)
    .replace(" -I", ` -I${overlay} -I`)
    .replace(` -c ${source}`, ` ${FAST_BUILD_OPTIONS} -c ${source}`)
    .replace(` -c ${source}`, ` -c ${compiled}`);
  await shell(changed, `${kernel} does not compile`);
  return { object, replaced };
}

/** Builds the test with the mutation and returns the program. */
async function buildMutant(mutation, overlay) {
  const path = join(build, overlay, "cuda", mutation.file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, mutate(root, mutation));
  const commands = commandsOf(mutation.test);
  const program = `${overlay}/mutant`;
  let link = commands.at(-1).replace(` -o ${programOf(mutation.test)} `, ` -o ${program} `);
  for (const kernel of mutation.kernels) {
    const { object, replaced } = await compile(commands, kernel, mutation, overlay);
    // Before all other objects, because the linker keeps the first copy of an inline function.
    link = link.replace(` ${replaced} `, " ").replace(/ \S+\.o /, ` ${object}$&`);
  }
  await shell(link, "the test does not link");
  return program;
}

/** Builds and runs a mutant; resolves to whether the test caught it. */
async function isCaught(mutation) {
  const started = performance.now();
  const overlay = `../mutations/${titleOf(mutation).replace(/\W+/g, "_")}`;
  try {
    const { passed, report } = await runTest(await buildMutant(mutation, overlay));
    const caught = !passed && report !== undefined;
    const verdict = caught ? "caught" : passed ? "SURVIVED" : "FAILED WITHOUT A REPORT";
    const seconds = ((performance.now() - started) / 1e3).toFixed(0);
    console.log(`${verdict} (${seconds} s) ${titleOf(mutation)}${report ? `\n    ${report}` : ""}`);
    return caught;
  } catch (error) {
    console.log(`NOT BUILT ${titleOf(mutation)}\n${error.message}`);
    return false;
  } finally {
    rmSync(join(build, overlay), { recursive: true, force: true });
  }
}

/** Calls work(item) for all items, options.jobs at a time; resolves to the results in order. */
async function inParallel(items, work) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]);
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, worker));
  return results;
}

/** Tests must pass without a mutation; a failing one would catch every mutant. */
async function expectPassing(tests) {
  const results = await inParallel(tests, (test) => runTest(programOf(test)));
  const failing = tests.filter((_, i) => !results[i].passed);
  if (failing.length > 0) throw new Error(`these tests fail without a mutation: ${failing.join(", ")}`);
}

if (!existsSync(join(build, "build.ninja"))) throw new Error(`${build} is not a Ninja build`);
const started = performance.now();
const chosen = (await loadMutations(root)).filter(
  (mutation) => wanted.length === 0 || wanted.some((part) => titleOf(mutation).includes(part)),
);
await expectPassing([...new Set(chosen.map(({ test }) => test))]);
const caught = (await inParallel(chosen, isCaught)).filter(Boolean).length;
const seconds = ((performance.now() - started) / 1e3).toFixed(0);
console.log(`${caught} of ${chosen.length} mutants caught in ${seconds} s`);
process.exitCode = chosen.length > 0 && caught === chosen.length ? 0 : 1;
