// Builds prebuilds/PLATFORM-ARCH/: the stripped addon, the libraries that a machine with only Node lacks, and the CUDA
// backend if `npm run build:cuda` has built it.
//   node scripts/prebuild.mjs [--fetch-onednn]     --fetch-onednn: oneDNN within the addon, as published; compiles it first
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { DIGEST_FILE, nativeDigest } from "./native_sources.mjs";
import { neededLibraries, PRESENT_WITH_NODE } from "./shared_libraries.mjs";

const { values: options } = parseArgs({ options: { "fetch-onednn": { type: "boolean", default: false } } });
const root = resolve(import.meta.dirname, "..");
const platform = `${process.platform}-${process.arch}`;
/** A failed build keeps the previous binaries. */
const work = join(root, "build", "prebuild");
const folder = join(work, "prebuilds", platform);
const prebuildify = createRequire(import.meta.url).resolve("prebuildify/bin.js");

const digest = nativeDigest();
const EVA_CLIP_FETCH_ONEDNN = options["fetch-onednn"] ? "ON" : "OFF";
// make would take an addon with another oneDNN for up to date.
rmSync(join(root, "build", "Release", "eva_clip.node"), { force: true });
rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
execFileSync(
  process.execPath,
  [
    ...[prebuildify, "--napi", "--strip", "--out", work, "--target", process.versions.node],
    ...["--node-gyp", join(root, "scripts", "prebuild_gyp.mjs")],
  ],
  {
    cwd: root,
    stdio: "inherit",
    // The headers of the running Node; node-gyp would otherwise download them.
    env: {
      ...process.env,
      EVA_CLIP_FETCH_ONEDNN,
      npm_config_nodedir: resolve(realpathSync(process.execPath), "../.."),
    },
  },
);

function carry(name, path) {
  const copy = join(folder, name);
  copyFileSync(realpathSync(path), copy);
  chmodSync(copy, 0o644);
  execFileSync("strip", ["--strip-unneeded", copy]);
  console.error(`bundled ${name}`);
}

/** The terms of a library that comes from a Debian package, beside it: the package's copyright file. */
function carryLicense(path) {
  const owner = execFileSync("dpkg-query", ["--search", realpathSync(path)], { encoding: "utf8" });
  const name = owner.split(":")[0];
  copyFileSync(join("/usr/share/doc", name, "copyright"), join(licenses, `${name}.txt`));
}

const licenses = join(folder, "licenses");
mkdirSync(licenses);
const addon = readdirSync(folder).find((name) => name.endsWith(".node"));
// prebuildify also copies every library of build/Release, the emulated GPU of the tests among them.
for (const name of readdirSync(folder).filter((name) => name.includes(".so"))) rmSync(join(folder, name));
for (const [name, path] of neededLibraries(join(folder, addon))) {
  if (PRESENT_WITH_NODE.test(name)) continue;
  if (path === undefined) throw new Error(`the addon needs ${name}, which is not on this machine`);
  carry(name, path);
  carryLicense(path);
}
if (options["fetch-onednn"]) {
  const cache = readFileSync(join(root, "build", "native-Release", "CMakeCache.txt"), "utf8");
  const source = /^oneDNN_SOURCE_DIR:STATIC=(.*)$/m.exec(cache)[1];
  const terms = ["LICENSE", "THIRD-PARTY-PROGRAMS"].map((file) => readFileSync(join(source, file), "utf8"));
  writeFileSync(join(licenses, "oneDNN.txt"), terms.join("\n"));
}
// To which the copyright file of GCC's libraries refers.
copyFileSync("/usr/share/common-licenses/GPL-3", join(licenses, "GPL-3.txt"));
const cuda = "libeva_clip_cuda.so";
if (existsSync(join(root, "build", "Release", cuda))) carry(cuda, join(root, "build", "Release", cuda));
writeFileSync(join(folder, DIGEST_FILE), `${digest}\n`);

const target = join(root, "prebuilds", platform);
rmSync(target, { recursive: true, force: true });
mkdirSync(join(root, "prebuilds"), { recursive: true });
renameSync(folder, target);
