// Runs before `npm pack` and `npm publish`, so that a package is never incomplete: builds dist/, and refuses to pack without
// binaries of the current sources.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DIGEST_FILE, nativeDigest } from "./native_sources.mjs";

const root = resolve(import.meta.dirname, "..");

/** Why prebuilds/ cannot be packed; undefined if it can. */
function problem() {
  const prebuilds = join(root, "prebuilds");
  const platforms = existsSync(prebuilds) ? readdirSync(prebuilds) : [];
  if (platforms.length === 0) return "there are no prebuilt binaries";
  const digest = nativeDigest();
  for (const platform of platforms) {
    const folder = join(prebuilds, platform);
    if (!readdirSync(folder).some((name) => name.endsWith(".node")))
      return `prebuilds/${platform} has no addon`;
    const file = join(folder, DIGEST_FILE);
    if (!existsSync(file) || readFileSync(file, "utf8").trim() !== digest)
      return `prebuilds/${platform} was built from other sources`;
  }
  return undefined;
}

const found = problem();
if (found !== undefined) {
  console.error(`eva-clip: nothing was packed: ${found}. First run: npm run prebuild:all`);
  process.exitCode = 1;
} else {
  // Standard output is reserved for npm: `npm pack --json` prints its report there.
  execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: ["ignore", 2, 2] });
}
