// Commands that only an installed package can show.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { check, Project } from "./consumer.mjs";

/** `eva-clip build` compiles the addon from the tarball; the compiled one is then used. Needs what CONTRIBUTING.md names. */
export function buildCommand({ work, tarball }) {
  const project = new Project(join(work, "build"));
  project.npm("install", tarball);
  const withoutTools = { PATH: project.path("node_modules", ".bin") };
  const program = project.path("node_modules", "eva-clip", "dist", "cli", "main.js");
  const message = project.runToFail(process.execPath, [program, "build"], withoutTools);
  for (const need of ["C++20 compiler", "CMake", "ninja or make", "oneDNN", "apt-get install g++"]) {
    check(message.includes(need), `without tools, eva-clip build does not name ${need}:\n${message}`);
  }
  const { folder, cuda, seconds } = JSON.parse(project.bin("eva-clip", ["build", "--json"]));
  check(existsSync(join(folder, "eva_clip.node")), `nothing was compiled into ${folder}`);
  console.error(`  compiled in ${seconds} s, CUDA ${cuda}`);
  const left = readdirSync(dirname(folder));
  check(left.join() === "Release", `the build leaves ${left.join(", ")}`);
  project.useModel();
  project.remove();
}

const PORT = "18080";
const STARTS_WITHIN_MS = 60_000;

/** Starts the project's service, sends it a caption, and ends it as an operator would. */
async function askService(project, folder) {
  const tsNode = project.path(folder, "node_modules", "ts-node", "dist", "bin.js");
  const child = spawn(process.execPath, [tsNode, "serve.ts"], {
    cwd: project.path(folder),
    env: { ...project.environment, PORT },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = new Promise((resolve) => child.on("close", (code) => resolve(code)));
  const url = `http://127.0.0.1:${PORT}`;
  const body = JSON.stringify({ model: "shapes", input: "a red star" });
  const ask = () =>
    fetch(`${url}/v1/embeddings`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    }).catch(() => undefined);
  let answer;
  const started = performance.now();
  while (answer === undefined && child.exitCode === null && performance.now() - started < STARTS_WITHIN_MS) {
    await setTimeout(300);
    answer = await ask();
  }
  const embedding = (await answer?.json())?.data?.[0]?.embedding;
  const page = await (await fetch(url).catch(() => undefined))?.text();
  child.kill("SIGTERM");
  const code = await ended;
  check(embedding?.length === 64, `the service of the project answered ${JSON.stringify(embedding)}`);
  check(/<html/.test(page ?? ""), `the service of the project has no page but ${page}`);
  check(code === 0, `the service of the project ended with ${code}`);
}

/** `eva-clip init` writes a project whose data, types, training and service work as its README says. */
export async function initCommand({ work, tarball }) {
  const project = new Project(join(work, "init"));
  project.npm("install", tarball);
  project.bin("eva-clip", ["init", "my-clip"]);
  const message = project.runToFail(project.path("node_modules", ".bin", "eva-clip"), ["init", "my-clip"]);
  check(/is not empty/.test(message), `a second eva-clip init says:\n${message}`);

  const file = project.path("my-clip", "package.json");
  const packageJson = JSON.parse(readFileSync(file, "utf8"));
  // This version is in no registry before it is published.
  packageJson.dependencies["eva-clip"] = `file:${tarball}`;
  writeFileSync(file, JSON.stringify(packageJson));
  const npm = (...args) => project.run("npm", ["--prefix", "my-clip", ...args], { STEPS: "10" });
  npm("install", "--no-audit", "--no-fund", "--prefer-offline");
  npm("run", "data");
  npm("run", "typecheck");
  const output = npm("run", "train");
  check(/of 40 new drawings/.test(output), `the project's training ended with:\n${output}`);
  await askService(project, "my-clip");
  project.remove();
}
