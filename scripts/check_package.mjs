// Packs the npm package, installs it in an empty folder as a user would, and uses it from there.
// Needs prebuilds/ (npm run prebuild:all).
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { checkDocs } from "./check_docs.mjs";
import { neededLibraries, PRESENT_WITH_NODE } from "./shared_libraries.mjs";

const root = resolve(import.meta.dirname, "..");
/** The registry refuses packages of about twice this size. */
const MOST_BYTES = 100e6;
const platform = `${process.platform}-${process.arch}`;
const addonPath = `prebuilds/${platform}/eva-clip.node`;
const REQUIRED = [
  ...["index", "train", "graph", "data", "weights", "serve", "search"].flatMap((name) =>
    [".js", ".mjs", ".d.ts", ".d.mts"].map((extension) => `dist/${name}${extension}`),
  ),
  "dist/cli/main.js",
];
/** npm compiles a package that has a binding.gyp, whatever its package.json says. */
const UNWANTED = /^(binding\.gyp|test\/|build\/|runs\/|\.ci\/)/;

function check(condition, message) {
  if (!condition) throw new Error(message);
}

function checkContents({ size, files }) {
  check(size < MOST_BYTES, `the package has ${(size / 1e6).toFixed(1)} MB; at most ${MOST_BYTES / 1e6}`);
  const paths = files.map((file) => file.path);
  for (const path of [...REQUIRED, addonPath, "LICENSE", "THIRD_PARTY_NOTICES", "CMakeLists.txt"]) {
    check(paths.includes(path), `the package lacks ${path}`);
  }
  const unwanted = paths.filter((path) => UNWANTED.test(path));
  check(unwanted.length === 0, `the package holds ${unwanted.join(", ")}`);
}

/** Every library must come with the package or with Node: a user's machine may have no others. */
function checkLibraries(folder) {
  const addon = join(folder, addonPath);
  for (const [name, path] of neededLibraries(addon)) {
    if (PRESENT_WITH_NODE.test(name)) continue;
    const own = join(folder, "prebuilds", platform);
    check(path?.startsWith(own), `${name} is not beside the addon but at ${path ?? "no place"}`);
  }
  const symbols = execFileSync("objdump", ["-T", addon], { encoding: "utf8" });
  const versions = [...symbols.matchAll(/GLIBC_([\d.]+)/g)].map(([, version]) => version);
  const newest = versions.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  console.error(`needs glibc ${newest} or newer`);
}

const work = mkdtempSync(join(tmpdir(), "eva-clip-package-"));
try {
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", work], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [report] = JSON.parse(packed);
  console.error(`${report.filename}: ${(report.size / 1e6).toFixed(1)} MB, ${report.files.length} files`);
  checkContents(report);

  const consumer = join(work, "consumer");
  cpSync(join(root, "scripts", "package_consumer"), consumer, { recursive: true });
  writeFileSync(join(consumer, "package.json"), '{ "private": true }\n');
  const run = (command, args) =>
    execFileSync(command, args, { cwd: consumer, stdio: "inherit", env: { ...process.env, CI: "" } });
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", join(work, report.filename)]);
  checkLibraries(join(consumer, "node_modules", "eva-clip"));
  run(process.execPath, ["encode.cjs"]);
  run(process.execPath, ["encode.mjs"]);
  run(join(consumer, "node_modules", ".bin", "eva-clip"), ["--version"]);

  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const types = ["--typeRoots", join(root, "node_modules", "@types"), "--types", "node"];
  const strictest = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"];
  const target = [
    "--noEmit",
    "--module",
    "node16",
    "--target",
    "es2022",
    "--lib",
    "es2023,esnext.disposable",
  ];
  run(process.execPath, [tsc, ...target, ...strictest, ...types, "encode.mts"]);

  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const tools = ["ts-node", "typescript", "@types/node"].map((name) => `${name}@${devDependencies[name]}`);
  run("npm", ["install", "--save-dev", "--no-audit", "--no-fund", "--prefer-offline", ...tools]);
  await checkDocs(consumer, { ...process.env, CI: "" });
  console.error("package: in order");
} finally {
  rmSync(work, { recursive: true, force: true });
}
