// The files that the native build is made of, and a digest that tells whether a binary was built from them.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** Paths from the root, in one order everywhere. */
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

/** In a folder of prebuilt binaries: the digest of the sources that they were built from. */
export const DIGEST_FILE = "sources.sha256";
