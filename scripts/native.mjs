// Builds the addon and the C++ tests with cmake-js, for `npm run build:native`, binding.gyp and prebuildify alike.
//   node scripts/native.mjs [--tests] [--config Release|Debug] [--out FOLDER] [--list-inputs]
//   node scripts/native.mjs --cuda [--cuda-architectures 90a] [--gpu-tests]     also the CUDA backend (scripts/cuda.mjs)
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { nativeSources } from "./native_sources.mjs";

const root = resolve(import.meta.dirname, "..");
const { values: options } = parseArgs({
  options: {
    config: { type: "string", default: "Release" },
    out: { type: "string" },
    tests: { type: "boolean", default: false },
    cuda: { type: "boolean", default: false },
    "cuda-architectures": { type: "string", default: "" },
    "gpu-tests": { type: "boolean", default: false },
    "list-inputs": { type: "boolean" },
  },
});

/** Runs `work` while holding a lock file: two builds in one folder would overwrite each other's objects. */
function withBuildLock(folder, work) {
  mkdirSync(folder, { recursive: true });
  const lock = join(folder, "build.lock");
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (!isAlive(lock)) rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAlive(lock) {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    // The owner writes its id right after creating the file; an empty file is still being written.
    if (owner > 0) process.kill(owner, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function cacheOf(folder) {
  const path = join(folder, "CMakeCache.txt");
  return existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
}

/** Deletes a build from before the checkout was moved or copied, which CMake refuses to continue. */
function removeForeignBuild(folder) {
  const madeAt = cacheOf(folder).find((line) => line.startsWith("CMAKE_CACHEFILE_DIR:"));
  if (madeAt === undefined || madeAt.endsWith(`=${folder}`)) return;
  console.error(`${folder} was built elsewhere (${madeAt.split("=")[1]}): building from scratch`);
  for (const name of readdirSync(folder)) {
    if (name !== "build.lock") rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** CMake itself detects changed sources and lists; only changed definitions require a new configuration. */
function isConfigured(folder, definitions) {
  if (!["build.ninja", "Makefile"].some((file) => existsSync(join(folder, file)))) return false;
  const cache = cacheOf(folder);
  return Object.entries(definitions).every(([name, value]) =>
    cache.some((line) => line.startsWith(`${name}:`) && line.endsWith(`=${value}`)),
  );
}

/**
 * CMake definitions of this build. A build without CUDA keeps the CUDA configuration of an earlier one. That of oneDNN comes
 * from the environment, because node-gyp passes no options on.
 */
function definitionsOf(output) {
  const onednn = { EVA_CLIP_FETCH_ONEDNN: process.env.EVA_CLIP_FETCH_ONEDNN ?? "OFF" };
  const cuda = { EVA_CLIP_CUDA: "ON", EVA_CLIP_CUDA_ARCHITECTURES: options["cuda-architectures"] };
  return { CMAKE_LIBRARY_OUTPUT_DIRECTORY: output, ...onednn, ...(options.cuda && cuda) };
}

function targets() {
  const cuda = options.cuda ? ["eva_clip_cuda", ...(options["gpu-tests"] ? ["gpu_tests"] : [])] : [];
  return [options.tests ? "all" : "eva_clip", ...cuda];
}

function build() {
  const folder = join(root, "build", `native-${options.config}`);
  const output = resolve(options.out ?? join(root, "build", options.config));
  const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  const environment = { ...process.env };
  // Set if node-gyp's make runs this script; the make or ninja below must not inherit them.
  delete environment.MAKEFLAGS;
  delete environment.MAKELEVEL;
  const definitions = definitionsOf(output);
  const run = (command, ...more) =>
    spawnSync(
      process.execPath,
      [
        ...[cmakeJs, command, "--directory", root, "--out", folder, "--config", options.config],
        ...["--log-level", "warn", "--parallel", String(availableParallelism())],
        ...["--CDCMAKE_MESSAGE_LOG_LEVEL=NOTICE", ...more],
        ...Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`),
      ],
      // Standard output belongs to the calling program.
      { stdio: ["ignore", 2, 2], cwd: root, env: environment },
    ).status ?? 1;
  return withBuildLock(folder, () => {
    removeForeignBuild(folder);
    let failed = isConfigured(folder, definitions) ? 0 : run("configure");
    for (const target of targets()) failed ||= run("build", "--target", target);
    return failed;
  });
}

if (options["list-inputs"]) console.log(nativeSources().join("\n"));
else process.exitCode = build();
