import { copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { EvaClipError } from "../../errors";
import { packageVersion } from "../package_version";
import { printResult } from "../output";
import type { InitFlags } from "./flags";

interface Written {
  folder: string;
  files: string[];
}

interface PackageJson {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

const packageJson = require.resolve("../../../package.json");
const templates = join(dirname(packageJson), "assets", "init");
/** npm keeps no file of this name in a package. */
const RENAMED: Readonly<Record<string, string>> = { gitignore: ".gitignore" };
/** What version control puts into a new folder. */
const HARMLESS = new Set([".git", ".gitattributes", "LICENSE"]);

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` if the folder holds anything */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    const found = (await readdir(folder)).filter((name) => !HARMLESS.has(name));
    if (found.length === 0) return;
    const some = found.length > 3 ? `${found.slice(0, 3).join(", ")}, …` : found.join(", ");
    const message = `${folder} is not empty (${some}): name a new folder, as in \`eva-clip init my-clip\``;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { field: "folder" });
  } catch (cause) {
    if (cause instanceof EvaClipError) throw cause;
    const { message } = cause as Error;
    throw new EvaClipError(
      "ERR_EVACLIP_IO",
      `cannot write a project: ${message}`,
      { path: folder },
      { cause },
    );
  }
}

/** A name that npm accepts. */
function projectName(folder: string): string {
  const name = basename(resolve(folder))
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-");
  return name.replace(/^-+|-+$/g, "") || "clip";
}

/** The versions of everything are those that this package is built and tested with. */
function projectPackage(folder: string): string {
  const { dependencies, devDependencies } = require(packageJson) as PackageJson;
  const tools = ["@types/node", "ts-node", "typescript"];
  const project = {
    name: projectName(folder),
    version: "0.0.0",
    private: true,
    scripts: {
      data: "ts-node sample_data.ts",
      train: "ts-node train.ts",
      serve: "ts-node serve.ts",
      typecheck: "tsc",
    },
    dependencies: { "eva-clip": `^${packageVersion}`, sharp: dependencies.sharp },
    devDependencies: Object.fromEntries(tools.map((name) => [name, devDependencies[name]])),
  };
  return `${JSON.stringify(project, null, 2)}\n`;
}

function describe({ folder, files }: Written): string {
  const enter = resolve(folder) === process.cwd() ? [] : [`  cd ${folder}`];
  const commands = ["install", "run data", "run train", "run serve"].map((command) => `  npm ${command}`);
  return [`${folder}: ${files.join(", ")}`, "Next:", ...enter, ...commands].join("\n");
}

/** Writes the project. It asks nothing; README.md in it says what to change. */
export async function init(folder: string, { json }: InitFlags): Promise<void> {
  await makeFolder(folder);
  const files = await readdir(templates);
  for (const name of files) await copyFile(join(templates, name), join(folder, RENAMED[name] ?? name));
  await writeFile(join(folder, "package.json"), projectPackage(folder));
  const written = [...files.map((name) => RENAMED[name] ?? name), "package.json"].sort();
  printResult({ folder: resolve(folder), files: written } satisfies Written, json, describe);
}
