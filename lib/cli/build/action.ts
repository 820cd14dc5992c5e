import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants, mkdir, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { availableProcessors } from "../../container_limits";
import { EvaClipError } from "../../errors";
import { columns, printResult } from "../output";
import type { BuildFlags } from "./flags";

interface Built {
  /** Where the addon is. */
  folder: string;
  /** The CUDA backend beside it: compiled, that of the package, or none. */
  cuda: "compiled" | "prebuilt" | "none";
  seconds: number;
}

interface Requirement {
  name: string;
  packages: string[];
}

const packageFolder = dirname(require.resolve("../../../package.json"));
/** The first place where the package looks for its addon. */
const output = join(packageFolder, "build", "Release");
const CUDA_LIBRARY = "libeva_clip_cuda.so";

interface Requirements {
  missingRequirements(options: { cuda: boolean; fetchOnednn: boolean }): Requirement[];
  generator(): string[];
}

/** @throws EvaClipError `ERR_EVACLIP_BUILD` that lists everything that is missing */
function checkRequirements({ missingRequirements }: Requirements, flags: BuildFlags): void {
  const missing = missingRequirements(flags);
  if (missing.length === 0) return;
  const packages = missing.flatMap((need) => need.packages);
  const advice = packages.length > 0 ? `. On Debian and Ubuntu: apt-get install ${packages.join(" ")}` : "";
  const names = missing.map(({ name }) => name);
  throw new EvaClipError("ERR_EVACLIP_BUILD", `missing: ${names.join("; ")}${advice}`, { missing: names });
}

async function checkWritable(): Promise<void> {
  try {
    await access(packageFolder, constants.W_OK);
  } catch (cause) {
    const message = `${packageFolder} is not writable: run this as the user who installed the package`;
    throw new EvaClipError("ERR_EVACLIP_IO", message, { path: packageFolder }, { cause });
  }
}

/** Runs a program with its output on standard error; standard output belongs to the result. */
async function run(command: string, args: readonly string[]): Promise<void> {
  const { EVA_CLIP_NATIVE_PATH: _, ...env } = process.env;
  const child = spawn(command, args, { stdio: ["ignore", 2, 2], env });
  const [status, signal] = (await once(child, "close")) as [number | null, string | null];
  if (status === 0) return;
  const ended = status === null ? `by ${signal}` : `with status ${status}`;
  throw new EvaClipError("ERR_EVACLIP_BUILD", `${command} ended ${ended}; its messages are above`, {
    command: [command, ...args].join(" "),
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function compile(generator: string[], flags: BuildFlags): Promise<void> {
  const { cuda, cudaArchitectures, fetchOnednn } = flags;
  const folder = join(packageFolder, "build", "cmake");
  const headers = [require("node-api-headers").include_dir, dirname(require.resolve("node-addon-api"))];
  const definitions = {
    CMAKE_BUILD_TYPE: "Release",
    CMAKE_LIBRARY_OUTPUT_DIRECTORY: output,
    CMAKE_JS_INC: headers.join(";"),
    EVA_CLIP_TESTS: "OFF",
    EVA_CLIP_WERROR: "OFF",
    EVA_CLIP_FETCH_ONEDNN: fetchOnednn ? "ON" : "OFF",
    EVA_CLIP_CUDA: cuda ? "ON" : "OFF",
    ...(cudaArchitectures === undefined ? {} : { EVA_CLIP_CUDA_ARCHITECTURES: cudaArchitectures }),
  };
  // What an interrupted or other configuration has left would decide over this one.
  await rm(folder, { recursive: true, force: true });
  await mkdir(output, { recursive: true });
  const defined = Object.entries(definitions).map(([name, value]) => `-D${name}=${value}`);
  await run("cmake", ["-S", packageFolder, "-B", folder, ...generator, ...defined]);
  const parallel = ["--parallel", String(availableProcessors())];
  for (const target of ["eva_clip", ...(cuda ? ["eva_clip_cuda"] : [])]) {
    await run("cmake", ["--build", folder, "--target", target, ...parallel]);
  }
  await rm(folder, { recursive: true });
}

/** The CUDA backend is looked for beside the addon: a build without it keeps that of the package. */
async function keepCuda(): Promise<Built["cuda"]> {
  const prebuilt = join(packageFolder, "prebuilds", `${process.platform}-${process.arch}`, CUDA_LIBRARY);
  if (!(await exists(prebuilt))) return "none";
  const link = join(output, CUDA_LIBRARY);
  await rm(link, { force: true });
  await symlink(relative(output, prebuilt), link);
  return "prebuilt";
}

/** Runs `eva-clip doctor` with the compiled addon; a package whose addon does not load would be of no use. */
async function tryOut(): Promise<void> {
  try {
    await run(process.execPath, [...process.execArgv, process.argv[1]!, "doctor"]);
  } catch (error) {
    await rm(output, { recursive: true });
    throw error;
  }
}

function describe({ folder, cuda, seconds }: Built): string {
  return columns([
    ["compiled into", `${folder}, in ${seconds} s`],
    ["cuda", cuda],
    ["to return to the prebuilt addon", `rm -r ${dirname(folder)}`],
  ]);
}

/** Compiles the addon into the package's folder, where it takes precedence over the prebuilt one, and loads it. */
export async function build(flags: BuildFlags): Promise<void> {
  const requirements = require(join(packageFolder, "cmake", "requirements.cjs")) as Requirements;
  checkRequirements(requirements, flags);
  await checkWritable();
  const started = performance.now();
  await compile(requirements.generator(), flags);
  const cuda = flags.cuda ? "compiled" : await keepCuda();
  await tryOut();
  const seconds = Math.round((performance.now() - started) / 1e3);
  printResult({ folder: output, cuda, seconds } satisfies Built, flags.json, describe);
}
