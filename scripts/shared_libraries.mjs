// The load-time dependencies of a native library, by `ldd`.
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
