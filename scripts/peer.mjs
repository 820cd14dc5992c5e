// Proves that models go both ways between this package and Python's: what open_clip, timm and transformers write loads
// here with the same features, and what is written here loads there; and that captions of every script and with every
// damage that ftfy repairs have open_clip's ids. Needs the native build.
//   node scripts/peer.mjs
// EVA_CLIP_PEER_PYTHON names a Python that has the packages. Without it they are installed, for Python alone, into a
// virtual environment in the user's cache folder; where that cannot be done, it says so and nothing is proved.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const scripts = join(root, "test", "peer");
const PACKAGES = [
  "torch==2.13.0",
  "torchvision",
  "timm",
  "open_clip_torch",
  "transformers",
  "safetensors",
  "ftfy==6.3.1",
];
const INSTALL_MS = 15 * 60_000;
/** They take a minute each; longer is a hang. */
const STEP_MS = 20 * 60_000;

/** These two, where somebody has set them, slow a current OpenBLAS down. */
const { OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, ...env } = process.env;

function answers(command, args, timeout = 2 * 60_000) {
  return spawnSync(command, args, { env, timeout, stdio: "ignore" }).status === 0;
}

function hasPackages(python) {
  return answers(python, [join(scripts, "libraries.py")]);
}

/** A Python in a virtual environment of its own; undefined where it, or the packages, cannot be had. */
function installedPython() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const folder = join(cache, "eva-clip", "peer-python");
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (existsSync(python) && hasPackages(python)) return python;
  console.error(
    `Installing ${PACKAGES.join(", ")} into ${folder}, for ${INSTALL_MS / 60_000} minutes at most`,
  );
  if (!answers("python3", ["-m", "venv", "--clear", folder])) return undefined;
  // A server that does not answer would be asked again for many minutes.
  const options = ["--quiet", "--retries", "0", "--timeout", "15", "--prefer-binary"];
  const installed = answers(python, ["-m", "pip", "install", ...options, ...PACKAGES], INSTALL_MS);
  return installed && hasPackages(python) ? python : undefined;
}

function findPython() {
  const named = process.env.EVA_CLIP_PEER_PYTHON;
  if (named === undefined) return hasPackages("python3") ? "python3" : installedPython();
  if (hasPackages(named)) return named;
  throw new Error(`EVA_CLIP_PEER_PYTHON is ${named}, which lacks one of ${PACKAGES.join(", ")}`);
}

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, env, stdio: "inherit", timeout: STEP_MS });
  if (status !== 0) throw new Error(`${[command, ...args].join(" ")} ended with ${status ?? "a signal"}`);
}

function compareAll(python) {
  const tsNode = createRequire(import.meta.url).resolve("ts-node/register/transpile-only");
  const work = mkdtempSync(join(tmpdir(), "eva-clip-peer-"));
  const [made, written, captions] = ["made", "written", "captions.jsonl"].map((name) => join(work, name));
  const runPython = (script, ...args) => run(python, [join(scripts, script), ...args]);
  const runNode = (script, ...args) =>
    run(process.execPath, ["-C", "eva-clip-source", "-r", tsNode, join(scripts, script), ...args]);
  try {
    runPython("make_captions.py", captions);
    runNode("compare_captions.ts", captions);
    runPython("make_models.py", made);
    runNode("compare.ts", made);
    runNode("write_models.ts", made, written);
    runPython("check_written.py", written);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const python = findPython();
if (python === undefined) {
  console.log(
    `Peer interoperability: not run, because Python with ${PACKAGES.join(", ")} cannot be had here`,
  );
} else {
  compareAll(python);
}
