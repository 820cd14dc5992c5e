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

/** Advice for where the code runs: a checkout, a bundle, or an installed package. */
function remedy(folder: string): string {
  if (existsSync(join(folder, "scripts", "native.mjs"))) return "build it with `npm run build:native`";
  if (!isPackage(folder)) {
    return "this code runs outside its package, as in a bundle: mark eva-clip as external in the bundler's configuration";
  }
  const platforms = prebuiltPlatforms(folder);
  if (platforms.includes(platform)) return `the prebuilt binary for ${platform} does not load on this system`;
  const has = platforms.length > 0 ? `only for ${platforms.join(", ")}` : "for no platform";
  return `the package has binaries ${has}; for ${platform}, build it in a checkout of its repository`;
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
