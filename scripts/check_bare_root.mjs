// Installs the packed package into a Debian that has nothing but its minimal base and the Node binary, and runs a model
// there: no compiler, no Python, no npm, no network. Needs prebuilds/ (npm run prebuild:all); without root and debootstrap,
// which fetches Debian's packages, it is reported as not run.
//   node scripts/check_bare_root.mjs [--suite jammy --mirror http://archive.ubuntu.com/ubuntu] [--tarball FILE]
//     --suite, --mirror: another system than Debian 12; --tarball: of `npm pack`, built before
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { check, Project, root, userEnvironment } from "./package/consumer.mjs";

const isPossible = process.getuid?.() === 0 && spawnSync("debootstrap", ["--version"]).status === 0;
const { values: options } = parseArgs({
  options: {
    suite: { type: "string", default: "bookworm" },
    mirror: { type: "string" },
    tarball: { type: "string" },
  },
});
const work = mkdtempSync(join(tmpdir(), "eva-clip-bare-root-"));
const bare = join(work, "root");
const inherit = { stdio: ["ignore", 2, "inherit"] };

/** Runs a command in the bare root, without the network if the kernel allows a namespace of its own. */
function inside(...command) {
  const isolated = spawnSync("unshare", ["--net", "true"]).status === 0 ? ["unshare", "--net"] : [];
  const [program, ...args] = [...isolated, "chroot", bare, ...command];
  const env = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", HOME: "/root", LANG: "C.UTF-8" };
  return spawnSync(program, args, { encoding: "utf8", env });
}

function succeed(...command) {
  const { status, stdout, stderr } = inside(...command);
  check(status === 0, `${command.join(" ")} ended with ${status} in the bare root:\n${stdout}${stderr}`);
  console.error(stdout.trim().replaceAll(/^/gm, "  "));
}

/** Makes the root, installs the package in it, and uses it. */
function checkBareRoot() {
  const mirror = options.mirror === undefined ? [] : [options.mirror];
  const debootstrap = ["--variant=minbase", options.suite, bare, ...mirror];
  const { status, stdout, stderr } = spawnSync("debootstrap", debootstrap, { encoding: "utf8" });
  check(status === 0, `debootstrap ended with ${status}:\n${stdout}${stderr}`);
  succeed("sh", "-c", ". /etc/os-release && echo $PRETTY_NAME");
  for (const absent of ["gcc", "c++", "make", "cmake", "python3", "npm", "node"]) {
    check(inside("sh", "-c", `command -v ${absent}`).status !== 0, `the bare root has ${absent}`);
  }

  const given = options.tarball === undefined ? [] : [resolve(options.tarball)];
  const pack = ["pack", ...given, "--json", "--pack-destination", work];
  const packed = execFileSync("npm", pack, { cwd: root, stdio: ["ignore", "pipe", 2], encoding: "utf8" });
  const project = new Project(join(work, "app"));
  execFileSync(
    "npm",
    ["install", "--ignore-scripts", "--prefer-offline", join(work, JSON.parse(packed)[0].filename)],
    { cwd: project.folder, env: userEnvironment(), ...inherit },
  );
  cpSync(project.folder, join(bare, "app"), { recursive: true, verbatimSymlinks: true });
  copyFileSync(process.execPath, join(bare, "usr", "local", "bin", "node"));
  check(!existsSync(join(bare, "proc", "self")), "/proc is mounted in the bare root");

  succeed("sh", "-c", "cd /app && node encode.cjs && node encode.mjs");
  succeed("sh", "-c", "cd /app && node node_modules/.bin/eva-clip doctor");
  console.error(`bare root: a model runs in ${options.suite} with nothing but Node`);
}

try {
  if (isPossible) checkBareRoot();
  else console.error("bare root: not run; it needs root and debootstrap");
} finally {
  rmSync(work, { recursive: true, force: true });
}
