// What a native library needs at load time, as `ldd` sees it.
import { execFileSync } from "node:child_process";

/** Name → path of each shared library that `file` needs, directly or not; a missing one has no path. */
export function neededLibraries(file) {
  const text = execFileSync("ldd", [file], { encoding: "utf8" });
  const needed = new Map();
  for (const line of text.split("\n")) {
    const [, name, path] = /^\s*(\S+) => (?:(\/\S+)|not found)/.exec(line) ?? [];
    if (name !== undefined) needed.set(name, path);
  }
  return needed;
}

/** Libraries that every machine with Node.js has: Node's own program needs them. */
export const PRESENT_WITH_NODE = /^(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|ld-linux.*)\.so/;
