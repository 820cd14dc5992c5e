// Projects that use the packed package, as its users have them: each in an empty folder.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "../..");

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** The environment of a user's shell: nothing of the `npm run` or the checkout that this script was started by. */
export function userEnvironment(more = {}) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|INIT_CWD$|EVA_CLIP_|NODE_OPTIONS$|NODE_PATH$)/i.test(name),
  );
  const environment = Object.fromEntries(inherited);
  // `npm run` puts the checkout's node_modules/.bin first.
  const isOurs = (folder) => folder.startsWith(root) || folder.includes("node_modules");
  environment.PATH = environment.PATH.split(delimiter)
    .filter((folder) => !isOurs(folder))
    .join(delimiter);
  return { ...environment, CI: "", ...more };
}

export class Project {
  /** @param folder is created, with the programs of package_consumer/ and this package.json */
  constructor(folder, packageJson = {}) {
    this.folder = folder;
    this.environment = userEnvironment();
    mkdirSync(dirname(folder), { recursive: true });
    cpSync(join(root, "scripts", "package_consumer"), folder, { recursive: true });
    this.write("package.json", JSON.stringify({ private: true, ...packageJson }));
  }

  path(...names) {
    return join(this.folder, ...names);
  }

  write(name, text) {
    writeFileSync(this.path(name), text);
  }

  /** Runs a command, with its standard output on ours only if it fails. */
  run(command, args, environment = {}) {
    const { status, error, stdout, stderr } = this.#spawn(command, args, environment);
    if (error) throw error;
    if (status !== 0) {
      throw new Error(`${[command, ...args].join(" ")} ended with ${status}:\n${stdout}${stderr}`);
    }
    return stdout;
  }

  /** The output of a command that must fail. */
  runToFail(command, args, environment = {}) {
    const { status, stdout, stderr } = this.#spawn(command, args, environment);
    check(status !== 0, `${[command, ...args].join(" ")} should fail:\n${stdout}${stderr}`);
    return `${stdout}${stderr}`;
  }

  #spawn(command, args, environment) {
    return spawnSync(command, args, {
      cwd: this.folder,
      encoding: "utf8",
      env: { ...this.environment, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 1 << 26,
    });
  }

  /** A program of node_modules/.bin. */
  bin(name, args, environment) {
    return this.run(this.path("node_modules", ".bin", name), args, environment);
  }

  npm(...args) {
    return this.run("npm", [...args, "--no-audit", "--no-fund", "--prefer-offline"]);
  }

  /** The range of sharp that the package depends on: the programs use it, too. */
  sharpVersion() {
    return JSON.parse(readFileSync(join(root, "package.json"), "utf8")).dependencies.sharp;
  }

  remove() {
    rmSync(this.folder, { recursive: true });
  }

  /** Embeds a caption and an image, by `require` and by `import`, and runs the command. */
  useModel(node = process.execPath) {
    for (const program of ["encode.cjs", "encode.mjs"]) this.run(node, [program]);
    this.run(node, [this.path("node_modules", "eva-clip", "dist", "cli", "main.js"), "doctor"]);
  }
}

/** The setting of npm, which other package managers do not read. */
export function npmSetting(name) {
  const value = execFileSync("npm", ["config", "get", name], { encoding: "utf8" }).trim();
  return value === "undefined" || value === "null" ? undefined : value;
}
