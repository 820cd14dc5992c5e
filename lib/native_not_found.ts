import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EvaClipError } from "./errors";

const platform = `${process.platform}-${process.arch}`;

/** Whether `folder` is this package, and not the output folder of a bundler. */
function isPackage(folder: string): boolean {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name?: string };
    return name === "eva-clip";
  } catch {
    return false;
  }
}

function prebuiltPlatforms(folder: string): string[] {
  const prebuilds = join(folder, "prebuilds");
  return existsSync(prebuilds) ? readdirSync(prebuilds) : [];
}

/** The oldest glibc whose symbols the prebuilt binaries use, and the oldest system that is supported. */
const OLDEST =
  "glibc 2.34 or newer and the libstdc++ of GCC 12, as Debian 12, Ubuntu 22.04 and newer have them";
const COMPILE = "compile the addon with `npx eva-clip build`";

/** Why the prebuilt binary of this very platform may not load; `glibc` is undefined where libc is another. */
function unloadable(glibc: string | undefined): string {
  if (process.platform === "linux" && glibc === undefined) {
    return (
      "this system has no glibc but another C library, such as the musl of Alpine, which the prebuilt binary cannot use: " +
      "take an image with glibc, such as node:22-bookworm-slim"
    );
  }
  const here = glibc === undefined ? "" : `; this system has glibc ${glibc}`;
  return `the prebuilt binary for ${platform} does not load on this system: it needs ${OLDEST}${here}. Or ${COMPILE}`;
}

/** The version of glibc that this process runs with. */
function runtimeGlibc(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime;
}

/** Advice for where the code runs: a checkout, a bundle, or an installed package. */
function remedy(folder: string): string {
  if (existsSync(join(folder, "scripts", "native.mjs"))) return "build it with `npm run build:native`";
  if (!isPackage(folder)) {
    return "this code runs outside its package, as in a bundle: mark eva-clip as external in the bundler's configuration";
  }
  const platforms = prebuiltPlatforms(folder);
  if (platforms.includes(platform)) return unloadable(runtimeGlibc());
  const has = platforms.length > 0 ? `only for ${platforms.join(", ")}` : "for no platform";
  return `the package has binaries ${has}; for ${platform}, ${COMPILE}`;
}

/** Why the addon of the package in `folder` did not load, and what can be done about it. */
export function nativeNotFound(folder: string, given: string | undefined, cause: Error): EvaClipError {
  const tried = given ?? `${folder}/{build,prebuilds}`;
  const advice = given === undefined ? remedy(folder) : "EVA_CLIP_NATIVE_PATH names it";
  return new EvaClipError(
    "ERR_EVACLIP_NATIVE_NOT_FOUND",
    `the native addon could not be loaded (tried ${tried}): ${advice}. ${cause.message}`,
    { platform, tried },
    { cause },
  );
}
