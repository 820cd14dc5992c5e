// Builds the addon and the C++ tests with cmake-js: what `npm run build:native`, binding.gyp and prebuildify all call.
//   node scripts/native.mjs [--tests] [--config Release|Debug] [--out FOLDER] [--list-inputs]
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const root = resolve(import.meta.dirname, "..");
const { values: options } = parseArgs({
  options: {
    config: { type: "string", default: "Release" },
    out: { type: "string" },
    tests: { type: "boolean", default: false },
    "list-inputs": { type: "boolean" },
  },
});

function nativeSources() {
  const inFolder = (folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  return ["CMakeLists.txt", ...inFolder("cmake"), ...inFolder("csrc")];
}

/** Runs `work` while holding a lock file: two builds in one folder would write over each other's objects. */
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
    // The owner writes its id right after it creates the file; an empty file is one being written.
    if (owner > 0) process.kill(owner, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** CMake itself notices changed sources and lists; only another output folder asks for a new configuration. */
function isConfigured(folder, output) {
  const cache = join(folder, "CMakeCache.txt");
  const generated = ["build.ninja", "Makefile"].some((file) => existsSync(join(folder, file)));
  return (
    generated &&
    readFileSync(cache, "utf8").includes(`CMAKE_LIBRARY_OUTPUT_DIRECTORY:UNINITIALIZED=${output}\n`)
  );
}

function build() {
  const folder = join(root, "build", `native-${options.config}`);
  const output = resolve(options.out ?? join(root, "build", options.config));
  const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  const environment = { ...process.env };
  // Set when node-gyp's make calls us; the make or ninja below must not take them for its own.
  delete environment.MAKEFLAGS;
  delete environment.MAKELEVEL;
  const run = (command, ...more) =>
    spawnSync(
      process.execPath,
      [
        ...[cmakeJs, command, "--directory", root, "--out", folder, "--config", options.config],
        ...["--log-level", "warn", "--parallel", String(availableParallelism())],
        ...["--CDCMAKE_MESSAGE_LOG_LEVEL=NOTICE", `--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=${output}`, ...more],
      ],
      // Standard output belongs to the program that asked for this build.
      { stdio: ["ignore", 2, 2], cwd: root, env: environment },
    ).status ?? 1;
  return withBuildLock(folder, () => {
    const failed = isConfigured(folder, output) ? 0 : run("configure");
    return failed || run("build", "--target", options.tests ? "all" : "eva_clip");
  });
}

if (options["list-inputs"]) console.log(nativeSources().join("\n"));
else process.exitCode = build();
