// Packs what a GPU machine needs to run scripts/gpu_check without Node or a compiler, into build/gpu_pack.tar.xz: Node, the
// package as JavaScript, the addon and its libraries, the CUDA backend, the GPU test programs, fixtures, and the peers.
//   node scripts/gpu_pack.mjs [--stage]     --stage: only fill the folder build/gpu_pack
// Requires `node scripts/cuda.mjs --tests`.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { neededLibraries, PRESENT_WITH_NODE } from "./shared_libraries.mjs";

const root = resolve(import.meta.dirname, "..");
const folder = join(root, "build", "gpu_pack");
const archive = join(root, "build", "gpu_pack.tar.xz");
const MAX_BYTES = 60e6;
const { values: options } = parseArgs({ options: { stage: { type: "boolean", default: false } } });

/** Programs of the checks and benchmarks; lib/ is added because they import it. */
const PROGRAMS = [
  ...["benchmarks/**/*.ts", "test/parity/*.ts", "lib/cli/main.ts"],
  "test/support/end_while_busy.ts",
];

function copyInto(subfolder, path, { name = basename(path), strip = false } = {}) {
  const target = join(folder, subfolder, name);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(realpathSync(path), target);
  chmodSync(target, 0o755);
  if (strip) execFileSync("strip", ["--strip-unneeded", target]);
}

function compilePrograms() {
  const config = join(folder, "tsconfig.json");
  const compilerOptions = { noEmit: false, rootDir: root, outDir: join(folder, "js"), types: ["node"] };
  const files = PROGRAMS.map((pattern) => join(root, pattern));
  const unwanted = join(root, "**/*.test.ts");
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions,
      include: files,
      exclude: [unwanted],
    }),
  );
  const typeRoots = ["--typeRoots", join(root, "node_modules", "@types")];
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  execFileSync(process.execPath, [compiler, "-p", config, ...typeRoots], { stdio: "inherit" });
  rmSync(config);
}

/** The package's runtime dependencies that are installed on this machine. */
function copyPackages() {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  for (const [path, { dev }] of Object.entries(packages)) {
    if (path === "" || dev || !existsSync(join(root, path))) continue;
    cpSync(join(root, path), join(folder, "js", path), {
      recursive: true,
      dereference: true,
      filter: (file) => !/\.(map|md|d\.[cm]?ts|flow)$/.test(file),
    });
  }
}

function copyLibraries() {
  const addon = join(root, "build", "Release", "eva_clip.node");
  for (const [name, path] of neededLibraries(addon)) {
    if (PRESENT_WITH_NODE.test(name)) continue;
    if (path === undefined) throw new Error(`the addon needs ${name}, which is not on this machine`);
    copyInto("native", path, { name, strip: true }); // under the name that the addon refers to
  }
  copyInto("native", addon, { strip: true });
  copyInto("native", join(root, "build", "Release", "libeva_clip_cuda.so"), { strip: true });
}

function copyTests() {
  const tests = join(root, "build", "native-Release", "gpu_tests");
  if (!existsSync(tests)) throw new Error("the GPU tests are not built: node scripts/cuda.mjs --tests");
  for (const name of readdirSync(tests)) copyInto("tests", join(tests, name), { strip: true });
}

function stage() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  copyInto("bin", process.execPath, { strip: true });
  compilePrograms();
  copyPackages();
  for (const name of ["package.json", "assets"])
    cpSync(join(root, name), join(folder, "js", name), { recursive: true });
  copyLibraries();
  copyTests();
  cpSync(join(root, "test", "fixtures"), join(folder, "fixtures"), { recursive: true });
  cpSync(join(root, "benchmarks", "peers"), join(folder, "peers"), { recursive: true });
  copyInto(".", join(root, "scripts", "gpu_check"));
}

stage();
if (!options.stage) {
  execFileSync("tar", ["-C", dirname(folder), "-cJf", archive, "gpu_pack"], {
    stdio: "inherit",
    env: { ...process.env, XZ_OPT: "-9 -T2" },
  });
  const { size } = statSync(archive);
  console.error(`${archive}: ${(size / 1e6).toFixed(1)} MB`);
  if (size > MAX_BYTES) throw new Error(`the archive is larger than ${MAX_BYTES / 1e6} MB`);
}
