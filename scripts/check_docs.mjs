// Runs the code blocks of the README and of docs/guides verbatim, in order, in a folder with the package installed. The
// files that they refer to are generated. By the language of a block:
//   ts          a program, run with ts-node; one that listens is stopped at the end of its page
//   sh          shell commands; `eva-clip train` is stopped after a step, `eva-clip serve` at the end of its page
//   json        the tsconfig.json of all programs
//   dockerfile, ini, yaml   must be the content of a file in deploy/
// Blocks of other languages (console) need what a test does not have, such as Docker.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";

const root = resolve(import.meta.dirname, "..");

/** The code blocks of a Markdown text: [{ language, code }]. */
export function codeBlocks(markdown) {
  return [...markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
    language,
    code,
  }));
}

/** The commands of a shell block, with continued lines joined. */
export function commandsOf(code) {
  return code
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"));
}

const BLOCK = 512;

function tarHeader(name, size) {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("        0ustar\0", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

function tar(files) {
  const parts = Object.entries(files).flatMap(([name, data]) => {
    const padding = Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK);
    return [tarHeader(name, data.length), data, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** Files with the README's names: small images, and a model of the real size with random weights. */
async function makeStandIns(folder) {
  const require = createRequire(join(folder, "package.json"));
  const sharp = require("sharp");
  const picture = (color) =>
    sharp({ create: { width: 300, height: 240, channels: 3, background: color } })
      .jpeg()
      .toBuffer();
  writeFileSync(join(folder, "photo.jpg"), await picture("#884422"));
  mkdirSync(join(folder, "shards"));
  for (let i = 0; i < 100; i++) {
    const name = String(i).padStart(3, "0");
    const files = {
      [`${name}.jpg`]: await picture({ r: 2 * i, g: 80, b: 200 - i }),
      [`${name}.txt`]: Buffer.from(`color ${i}`),
    };
    writeFileSync(join(folder, "shards", `${name}.tar`), tar(files));
  }
  for (const name of ["dog", "bicycle"]) {
    mkdirSync(join(folder, "classes", name), { recursive: true });
    writeFileSync(join(folder, "classes", name, "0.jpg"), await picture(name === "dog" ? "brown" : "silver"));
  }
  for (const folderName of ["pairs", "photos"]) {
    mkdirSync(join(folder, folderName));
    for (const [i, color] of [
      "red",
      "green",
      "blue",
      "white",
      "black",
      "gold",
      "brown",
      "silver",
    ].entries()) {
      writeFileSync(join(folder, folderName, `${i}.jpg`), await picture(color));
      writeFileSync(join(folder, folderName, `${i}.txt`), `a ${color} ${i % 2 === 0 ? "dog" : "bicycle"}`);
    }
  }
  const { EvaClip } = require("eva-clip");
  const model = await EvaClip.create("EVA02-CLIP-B-16", { device: "cpu" });
  await model.save(join(folder, "random"));
  await model.dispose();
  renameSync(join(folder, "random", "model.safetensors"), join(folder, "EVA02_CLIP_B_psz16_s8B.pt"));
}

/** The number of lines in the metrics files of all runs. */
function stepsDone(folder) {
  const logs = join(folder, "logs");
  const files = (existsSync(logs) ? readdirSync(logs) : []).map((name) => join(logs, name, "metrics.jsonl"));
  return files
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, "utf8").split("\n").filter(Boolean)).length;
}

/** A page's training would take days: one step of it, then the signal that ends it with a checkpoint. */
async function trainOneStep(folder, command) {
  const before = stepsDone(folder);
  const child = spawn(
    "bash",
    ["-c", `exec ${command.replace(/^npx (--no-install )?/, "node_modules/.bin/")}`],
    {
      cwd: folder,
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const ended = new Promise((resolve) => child.on("close", resolve));
  const watch = setInterval(() => {
    if (stepsDone(folder) <= before) return;
    // Only once: a second signal would end it without a checkpoint.
    clearInterval(watch);
    child.kill("SIGTERM");
  }, 500);
  const code = await ended;
  clearInterval(watch);
  // The command ends with the status of the signal, a program that handles it with its own.
  if (![0, 143].includes(code) || stepsDone(folder) <= before || !output.includes("checkpoint"))
    throw new Error(`${command}\nended with ${code} after ${stepsDone(folder) - before} steps:\n${output}`);
}

/** Starts a command that listens on a port, and waits until it answers. */
async function startService(folder, command, port, environment) {
  const child = spawn("bash", ["-c", command], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
    env: environment,
    detached: true, // npx passes no signals on: the whole group gets them
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  const answers = () =>
    fetch(`http://127.0.0.1:${port}/healthz`).then(
      () => true,
      () => false,
    );
  if (await answers()) throw new Error(`port ${port} is in use`);
  while (!(await answers())) {
    if (child.exitCode !== null) throw new Error(`${command}\nended with ${child.exitCode}`);
    await setTimeout(300);
  }
  return async () => {
    process.kill(-child.pid, "SIGTERM");
    await ended;
  };
}

const nameOf = (code, i) => /^\/\/ (\S+\.ts)\n/.exec(code)?.[1] ?? `program${i}.ts`;

/** Runs the blocks of one page. Services that it starts end with it. */
async function runPage(folder, blocks, environment) {
  const services = [];
  const run = (command) =>
    execFileSync("bash", ["-euo", "pipefail", "-c", command], {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
      env: environment,
    });
  const start = async (command, code = command) => {
    const [, port] = /(?:--port |port: )(\d+)/.exec(code);
    services.push(await startService(folder, command, port, environment));
  };
  const runners = {
    ts: async (code, i) => {
      const file = nameOf(code, i);
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), code);
      const command = `npx --no-install ts-node ${file}`;
      if (/\bserve\(/.test(code)) await start(command, code);
      else if (code.includes("trainRecipe(")) await trainOneStep(folder, command);
      else run(command);
    },
    sh: async (code) => {
      for (const command of commandsOf(code)) {
        console.error(`  ${command.slice(0, 120)}`);
        if (command.startsWith("npx eva-clip train")) await trainOneStep(folder, command);
        else if (command.startsWith("npx eva-clip serve")) await start(command);
        else run(command);
      }
    },
    ...Object.fromEntries(["dockerfile", "ini", "yaml"].map((language) => [language, requireDeployed])),
  };
  try {
    for (const [i, { language, code }] of blocks.entries()) await runners[language]?.(code, i);
  } finally {
    for (const stop of services) await stop();
  }
}

/** What a page shows of deploy/ is what deploy/ holds. */
function requireDeployed(code) {
  const files = readdirSync(join(root, "deploy"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"));
  if (!files.some((text) => text.includes(code))) throw new Error(`no file of deploy/ contains:\n${code}`);
}

/** @param folder an npm project with the package, ts-node, typescript and @types/node */
export async function checkDocs(folder, environment) {
  await makeStandIns(folder);
  const guides = readdirSync(join(root, "docs", "guides")).map((name) => join("docs", "guides", name));
  const pages = ["README.md", ...guides].map((page) => ({
    page,
    blocks: codeBlocks(readFileSync(join(root, page), "utf8")),
  }));
  const [tsconfig] = pages.flatMap(({ blocks }) => blocks.filter(({ language }) => language === "json"));
  writeFileSync(join(folder, "tsconfig.json"), tsconfig.code);
  for (const { page, blocks } of pages) {
    if (blocks.length === 0) throw new Error(`${page} has no code block`);
    console.error(page);
    await runPage(folder, blocks, environment);
    rmSync(join(folder, "logs"), { recursive: true, force: true });
  }
}
