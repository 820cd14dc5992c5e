// Runs the C++ tests and the addon under AddressSanitizer and UndefinedBehaviorSanitizer, and overlapping calls on
// devices under ThreadSanitizer.
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

/** Every kernel by its op's test, valid and damaged files, training with checkpoints, environments that end during work. */
const DEFAULT_PATTERNS = ["test/ops/", "test/io/", "test/parameter", "test/train/", "test/runtime/"];
/**
 * AddressSanitizer quarantines freed memory, so the process grows whatever the code does; the emulated GPU runs under
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
  // Node does not free all of its memory at exit; leaks are detected by the C++ tests.
  ASAN_OPTIONS: "detect_leaks=0",
  // Processes start several times more slowly.
  EVA_CLIP_EXITS: "2",
  EVA_CLIP_NATIVE_PATH: join(root, "build/cmake-asan/eva_clip.node"),
});

// Node and OpenMP are not instrumented, so one thread computes, and only races within the addon's own code are detected.
run("cmake", ["--preset", "tsan"]);
run("cmake", ["--build", "--preset", "tsan", "--target", "eva_clip"]);
const tsNode = createRequire(import.meta.url).resolve("ts-node/register/transpile-only");
const tsanRuntime = execFileSync("c++", ["-print-file-name=libtsan.so"], { encoding: "utf8" }).trim();
const addon = join(root, "build/cmake-tsan/eva_clip.node");
// Without address space randomization: ThreadSanitizer reserves parts of the address space. The addon and its libraries are
// preloaded: if a thread starts while a library with thread-local variables is being loaded, GCC's runtime tries to reserve
// 512 TiB and gives up.
const program = [process.execPath, "-r", tsNode, "test/support/overlapping_calls.ts", "12"];
run("setarch", ["-R", "env", `LD_PRELOAD=${tsanRuntime}:${addon}`, ...program], {
  TSAN_OPTIONS: `suppressions=${join(root, "test/support/tsan.supp")} history_size=7 exitcode=66`,
  EVA_CLIP_NATIVE_PATH: addon,
});
