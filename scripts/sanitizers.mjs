// Runs the C++ tests and the addon under AddressSanitizer and UndefinedBehaviorSanitizer, and overlapping calls of devices
// under ThreadSanitizer.
//   node scripts/sanitizers.mjs [JEST PATTERN…]
import { execFileSync, spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const run = (command, args, env = {}) => {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
};

/** Every kernel through its op's test, files sound and damaged, training with checkpoints, environments that end amid work. */
const DEFAULT_PATTERNS = ["test/ops/", "test/io/", "test/parameter", "test/train/", "test/runtime/"];
/**
 * AddressSanitizer holds freed memory back, so the process grows whatever the code does; and the emulated GPU runs under
 * sanitizers in the ordinary tests.
 */
const LEFT_OUT = "resident memory|emulated CUDA";
const patterns = process.argv.length > 2 ? process.argv.slice(2) : DEFAULT_PATTERNS;

run("cmake", ["--preset", "asan"]);
run("cmake", ["--build", "--preset", "asan"]);
run("ctest", ["--preset", "asan"]);

const asanRuntime = execFileSync("c++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
const jest = createRequire(import.meta.url).resolve("jest/bin/jest");
const options = ["--runInBand", "--testTimeout=600000", `--testNamePattern=^(?!.*(${LEFT_OUT}))`];
run(process.execPath, [jest, ...options, ...patterns], {
  LD_PRELOAD: asanRuntime,
  // Node frees little of what it holds when it ends, so leaks are the C++ tests' to find.
  ASAN_OPTIONS: "detect_leaks=0",
  // Each process starts several times as slowly.
  EVA_CLIP_EXITS: "2",
  EVA_CLIP_NATIVE_PATH: join(root, "build/cmake-asan/eva_clip.node"),
});

// Node and OpenMP are not built with it, so one thread computes, and only races that our own code takes part in are seen.
run("cmake", ["--preset", "tsan"]);
run("cmake", ["--build", "--preset", "tsan", "--target", "eva_clip"]);
const tsNode = createRequire(import.meta.url).resolve("ts-node/register/transpile-only");
const tsanRuntime = execFileSync("c++", ["-print-file-name=libtsan.so"], { encoding: "utf8" }).trim();
const addon = join(root, "build/cmake-tsan/eva_clip.node");
// Without a random address space: ThreadSanitizer keeps parts of it for itself. And with the addon and its libraries loaded
// from the start: a thread that starts while a library with thread-local variables is loaded makes GCC's runtime reserve
// 512 TiB for them and give up.
const program = [process.execPath, "-r", tsNode, "test/support/overlapping_calls.ts", "12"];
run("setarch", ["-R", "env", `LD_PRELOAD=${tsanRuntime}:${addon}`, ...program], {
  TSAN_OPTIONS: `suppressions=${join(root, "test/support/tsan.supp")} history_size=7 exitcode=66`,
  EVA_CLIP_NATIVE_PATH: addon,
});
