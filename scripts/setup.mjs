// Sets up a fresh clone: system packages, npm packages, the native build. Quick if nothing is missing. `npm test` and
// `npm run demo` run it before any npm package is installed, so it depends on Node alone.
//   node scripts/setup.mjs [--tests | --packages]     --tests: also build the C++ unit tests; --packages: only install
//                                                     npm's packages
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import requirements from "../cmake/requirements.cjs";

const { missingRequirements } = requirements;

// Not import.meta.dirname: versions of Node without it must reach the message about the version.
const root = fileURLToPath(new URL("..", import.meta.url));

class SetupError extends Error {}

/** Runs a command with its output on standard error: standard output belongs to the program that runs next. */
function run(command, args, failure) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (error || status !== 0) throw new SetupError(failure);
}

function answers(command, args) {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(`Node.js 20.19 or newer is needed; this is ${process.versions.node}.`);
  }
}

function installSystemPackages() {
  const missing = missingRequirements();
  if (missing.length === 0) return;
  const names = missing.map((need) => need.name).join(", ");
  const packages = missing.flatMap((need) => need.packages);
  const advice = `Missing: ${names}. Install with: apt-get install ${packages.join(" ")}`;
  if (process.getuid?.() !== 0 || !answers("apt-get", ["--version"])) throw new SetupError(advice);
  console.error(`Installing ${packages.join(" ")}`);
  run("apt-get", ["update", "-qq"], advice);
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], advice);
  const still = missingRequirements().map((need) => need.name);
  if (still.length > 0) throw new SetupError(`Still missing after the installation: ${still.join(", ")}.`);
}

/** Whether node_modules matches the lockfile (npm keeps a copy of the installed one). */
function npmPackagesAreCurrent() {
  const installedLock = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedLock)) return false;
  const installed = JSON.parse(readFileSync(installedLock, "utf8")).packages;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === "" || optional || installed[path]?.version === version,
  );
}

function installNpmPackages() {
  if (npmPackagesAreCurrent()) return;
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  run("npm", args, "npm could not install the packages (npm ci); its message is above.");
}

try {
  checkNode();
  const packagesOnly = process.argv.includes("--packages");
  if (!packagesOnly) installSystemPackages();
  installNpmPackages();
  if (!packagesOnly && !process.env.EVA_CLIP_NATIVE_PATH) {
    const failure = "The native build failed; the compiler's message is above.";
    run(process.execPath, ["scripts/native.mjs", ...process.argv.slice(2)], failure);
  }
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`eva-clip setup: ${error.message}`);
  process.exitCode = 1;
}
