// The load-time dependencies of a native library: other libraries, by `ldd`, and versions of their symbols, by `objdump`.
import { execFileSync } from "node:child_process";

/** Name → path of each shared library that `file` depends on, directly or not; a missing one has no path. */
export function neededLibraries(file) {
  const text = execFileSync("ldd", [file], { encoding: "utf8" });
  const needed = new Map();
  for (const line of text.split("\n")) {
    const [, name, path] = /^\s*(\S+) => (?:(\/\S+)|not found)/.exec(line) ?? [];
    if (name !== undefined) needed.set(name, path);
  }
  return needed;
}

/** Libraries that every machine with Node.js has, because Node itself depends on them. */
export const PRESENT_WITH_NODE = /^(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|ld-linux.*)\.so/;

/** The newest versions that the oldest supported system has: Ubuntu 22.04; Debian 12 is newer. */
export const NEWEST_SYMBOLS = { GLIBC: "2.35", GLIBCXX: "3.4.30", CXXABI: "1.3.13" };

export const isNewer = (version, than) => version.localeCompare(than, "en", { numeric: true }) > 0;

/** The newest version of each of NEWEST_SYMBOLS' families that `file` needs: { GLIBC: "2.34", … }. */
export function neededSymbols(file) {
  const text = execFileSync("objdump", ["-p", file], { encoding: "utf8", maxBuffer: 1 << 26 });
  // Versions that the library defines itself come first.
  const references = text.slice(text.indexOf("Version References:"));
  const newest = {};
  for (const [, family, version] of references.matchAll(/\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+)/g)) {
    if (newest[family] === undefined || isNewer(version, newest[family])) newest[family] = version;
  }
  return newest;
}
