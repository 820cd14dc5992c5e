import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EvaClipError } from "eva-clip";
import { STYLES, type Style } from "./styles";

const FOLDER = join(__dirname, "packages");

/** Where the art packages are installed. */
export const ART_MODULES = join(FOLDER, "node_modules");

const CAPTION_PACKAGES = ["emojibase-data", "emojilib"];

/**
 * Installs missing art and caption packages, at the versions of the lock file in packages/.
 *
 * @param allStyles also the two optional styles
 * @returns the styles that are installed
 * @throws EvaClipError `ERR_EVACLIP_IO` when npm fails
 */
export function ensureArt(allStyles: boolean): Style[] {
  const wanted = STYLES.filter((style) => allStyles || !style.optional);
  const missing = [...wanted.map((style) => style.package), ...CAPTION_PACKAGES].filter(
    (name) => installedVersion(name) !== lockedVersion(name),
  );
  if (missing.length > 0) install(missing, allStyles);
  return wanted;
}

/** The version of an installed package, or undefined. */
export function installedVersion(name: string): string | undefined {
  const manifest = join(ART_MODULES, name, "package.json");
  if (!existsSync(manifest)) return undefined;
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}

function lockedVersion(name: string): string | undefined {
  const lock = JSON.parse(readFileSync(join(FOLDER, "package-lock.json"), "utf8")) as {
    packages: Record<string, { version?: string }>;
  };
  return lock.packages[`node_modules/${name}`]?.version;
}

function install(missing: readonly string[], allStyles: boolean): void {
  process.stderr.write(`Installing ${missing.length} npm packages of drawings and captions\n`);
  const options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  const omitted = allStyles ? [] : ["--omit=optional"];
  const { status, stderr, error } = spawnSync("npm", ["ci", ...options, ...omitted], {
    cwd: FOLDER,
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    // On Windows npm is a .cmd file, which only a shell can start.
    shell: process.platform === "win32",
  });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split("\n").slice(0, 4).join("; ");
  throw new EvaClipError(
    "ERR_EVACLIP_IO",
    `npm ci failed in examples/emoji/packages, so the demo has no drawings (${missing.join(", ")}): ${reason}`,
  );
}
