// The sources of the native build, and a digest that shows whether a binary was built from them.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** Paths from the root, in the same order everywhere. */
export function nativeSources() {
  const inFolder = (folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  return ["CMakeLists.txt", ...inFolder("cmake"), ...inFolder("csrc")].sort();
}

export function nativeDigest() {
  const hash = createHash("sha256");
  for (const path of nativeSources()) hash.update(`${path}\0`).update(readFileSync(join(root, path)));
  return hash.digest("hex");
}

/** File in a folder of prebuilt binaries with the digest of their sources. */
export const DIGEST_FILE = "sources.sha256";
