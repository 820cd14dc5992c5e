// Tests interoperability with Python: models written by open_clip, timm and transformers load in eva-clip with the same
// features, and the other way; captions in every script, and with every damage that ftfy repairs, have open_clip's ids; images
// of every shape have the bytes of torchvision and Pillow.
// Requires the native build.
//   node scripts/peer.mjs
// EVA_CLIP_PEER_PYTHON names a Python with the packages. Without it they are installed into a virtual environment in the
// user's cache folder; if that fails, the tests are reported as not run.
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
/** A step takes about a minute; much longer is a hang. */
const STEP_MS = 20 * 60_000;

/** If set, these two slow down current OpenBLAS. */
const { OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, ...env } = process.env;

function answers(command, args, timeout = 2 * 60_000) {
  return spawnSync(command, args, { env, timeout, stdio: "ignore" }).status === 0;
}

function hasPackages(python) {
  return answers(python, [join(scripts, "libraries.py")]);
}

/** A Python in a virtual environment; undefined if it, or the packages, cannot be installed. */
function installedPython() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const folder = join(cache, "eva-clip", "peer-python");
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (existsSync(python) && hasPackages(python)) return python;
  console.error(
    `Installing ${PACKAGES.join(", ")} into ${folder}, for at most ${INSTALL_MS / 60_000} minutes`,
  );
  if (!answers("python3", ["-m", "venv", "--clear", folder])) return undefined;
  // pip's default retries would take many minutes if the server does not answer.
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
  const [images, made, written, captions] = ["images", "made", "written", "captions.jsonl"].map((name) =>
    join(work, name),
  );
  const runPython = (script, ...args) => run(python, [join(scripts, script), ...args]);
  const runNode = (script, ...args) =>
    run(process.execPath, ["-C", "eva-clip-source", "-r", tsNode, join(scripts, script), ...args]);
  try {
    runPython("make_captions.py", captions);
    runNode("compare_captions.ts", captions);
    runPython("make_images.py", images);
    runNode("compare_images.ts", images);
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
  console.log(`Peer interoperability: not run; Python with ${PACKAGES.join(", ")} is not available`);
} else {
  compareAll(python);
}
