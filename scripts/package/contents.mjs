// What the tarball holds: the files, its size, and libraries that load on every supported system.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  isNewer,
  NEWEST_SYMBOLS,
  neededLibraries,
  neededSymbols,
  PRESENT_WITH_NODE,
} from "../shared_libraries.mjs";
import { check, root } from "./consumer.mjs";

const MOST_BYTES = 60e6;
const platform = `${process.platform}-${process.arch}`;
const CUDA_LIBRARY = "libeva_clip_cuda.so";
/** Everything that prebuilds/ may hold: each has its license in THIRD_PARTY_NOTICES. */
const BINARIES = new Set([
  ...["eva-clip.node", CUDA_LIBRARY],
  ...["libdnnl.so.2", "libdnnl.so.3", "libgomp.so.1", "libOpenCL.so.1", "sources.sha256"],
]);
const LICENSE = /^prebuilds\/[^/]+\/licenses\/[\w-]+\.txt$/;
/** npm compiles a package that has a binding.gyp, whatever its package.json says. */
const UNWANTED =
  /^(binding\.gyp$|test\/|build\/|runs\/|benchmarks\/|\.ci\/|lib\/|scripts\/(?!cuda\/))|\.tsbuildinfo$/;

/** The files that package.json promises. */
function promised() {
  const { exports, bin, main, types } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const targets = Object.values(exports).flatMap((entry) =>
    typeof entry === "string" ? [entry] : [...Object.values(entry.import), ...Object.values(entry.require)],
  );
  return [...targets, ...Object.values(bin), main, types].map((path) => path.replace(/^\.\//, ""));
}

/** @param report of `npm pack --json` */
export function checkContents({ filename, size, unpackedSize, files }) {
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const paths = files.map((file) => file.path);
  const withCuda = paths.includes(`prebuilds/${platform}/${CUDA_LIBRARY}`);
  console.error(
    `${filename}: ${megabytes(size)} packed, ${megabytes(unpackedSize)} unpacked, ${files.length} files, ` +
      `${withCuda ? "with" : "WITHOUT"} the CUDA backend`,
  );
  for (const { path, size } of files) if (size > 1e6) console.error(`  ${megabytes(size)} ${path}`);
  check(size < MOST_BYTES, `the package has ${megabytes(size)} packed; at most ${megabytes(MOST_BYTES)}`);
  const needed = ["LICENSE", "THIRD_PARTY_NOTICES", "README.md", "CHANGELOG.md", "CMakeLists.txt"];
  for (const path of [...promised(), ...needed, `prebuilds/${platform}/eva-clip.node`]) {
    check(paths.includes(path), `the package lacks ${path}`);
  }
  const foreign = paths.filter((path) => /^prebuilds\/.*\/lib(?!eva_clip_cuda)[^/]*\.so/.test(path));
  // oneDNN is a library beside the addon, or a part of it.
  const parts = foreign.some((path) => path.includes("libdnnl")) ? [] : ["oneDNN"];
  const licenses = paths.filter((path) => LICENSE.test(path) && !path.endsWith("GPL-3.txt"));
  check(
    licenses.length === foreign.length + parts.length &&
      parts.every((part) => licenses.some((path) => path.endsWith(`/${part}.txt`))),
    `libraries of others: ${[...foreign, ...parts].join(", ")}; licenses: ${licenses.join(", ")}`,
  );
  const unknown = paths.filter(
    (path) =>
      path.startsWith("prebuilds/") &&
      !BINARIES.has(path.split("/").slice(2).join("/")) &&
      !LICENSE.test(path),
  );
  const unwanted = [...paths.filter((path) => UNWANTED.test(path)), ...unknown];
  check(unwanted.length === 0, `the package holds ${unwanted.join(", ")}`);
}

/**
 * Every library must come with the package or with Node: a user's machine may have no others. None may need symbols that
 * the oldest supported system lacks.
 */
export function checkLibraries(folder) {
  const own = join(folder, "prebuilds", platform);
  check(existsSync(own), `${own} is missing`);
  const libraries = readdirSync(own).filter((name) => /\.(node|so)(\.\d+)*$/.test(name));
  // The others are loaded by these two, with the addon's RPATH.
  const opened = libraries.filter((name) => name.endsWith(".node") || name === CUDA_LIBRARY);
  for (const [name, path] of opened.flatMap((library) => [...neededLibraries(join(own, library))])) {
    if (PRESENT_WITH_NODE.test(name)) continue;
    check(path?.startsWith(own), `${name} is not beside the addon but at ${path ?? "no place"}`);
  }
  for (const library of libraries) {
    const needed = Object.entries(neededSymbols(join(own, library)));
    console.error(`  ${library}: ${needed.map((entry) => entry.join(" ")).join(", ")}`);
    for (const [family, version] of needed) {
      check(
        !isNewer(version, NEWEST_SYMBOLS[family]),
        `${library} needs ${family}_${version}; Ubuntu 22.04 has ${NEWEST_SYMBOLS[family]}`,
      );
    }
  }
}

/** The package's declarations of itself, read by publint and are-the-types-wrong. */
export function checkDeclarations(tarball) {
  const run = (name, args) => {
    const command = join(root, "node_modules", ".bin", name);
    execFileSync(command, args, { stdio: ["ignore", 2, 2], env: { ...process.env, NO_COLOR: "1" } });
  };
  run("publint", ["run", tarball, "--strict"]);
  // The profile leaves out "moduleResolution": "node10", which knows no exports and so no subpaths.
  run("attw", [tarball, "--profile", "node16", "--format", "ascii", "--no-emoji", "--quiet"]);
}
