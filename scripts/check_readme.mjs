// Runs the README's examples verbatim in a folder with the package installed: TypeScript programs with ts-node and the
// README's tsconfig.json, and every `npx eva-clip` command. The files that they refer to are generated.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

/** The code blocks of a Markdown text: [{ language, code }]. */
export function codeBlocks(markdown) {
  return [...markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
    language,
    code,
  }));
}

/** The `npx eva-clip` commands of a shell block, with continued lines joined. */
export function commandsOf(code) {
  return code
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.startsWith("npx eva-clip"));
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
  const { EvaClip } = require("eva-clip");
  const model = await EvaClip.create("EVA02-CLIP-B-16", { device: "cpu" });
  await model.save(join(folder, "random"));
  await model.dispose();
  renameSync(join(folder, "random", "model.safetensors"), join(folder, "EVA02_CLIP_B_psz16_s8B.pt"));
}

function lastStep(folder) {
  const file = join(folder, "logs", "first", "metrics.jsonl");
  const lines = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").filter(Boolean) : [];
  return lines.length === 0 ? 0 : JSON.parse(lines.at(-1)).step;
}

/** The README's training would take days: one step of it, then the signal that ends it with a checkpoint. */
async function trainOneStep(folder, command) {
  const before = lastStep(folder);
  const child = spawn("bash", ["-c", `exec ${command.replace(/^npx /, "node_modules/.bin/")}`], {
    cwd: folder,
  });
  let output = "";
  child.stderr.on("data", (text) => (output += text));
  const ended = new Promise((resolve) => child.on("close", resolve));
  const watch = setInterval(() => {
    if (lastStep(folder) <= before) return;
    // Only once: a second signal would end it without a checkpoint.
    clearInterval(watch);
    child.kill("SIGTERM");
  }, 500);
  const code = await ended;
  clearInterval(watch);
  const checkpoints = readdirSync(join(folder, "logs", "first", "checkpoints"));
  if (code !== 143 || lastStep(folder) <= before || !checkpoints.some((name) => name.startsWith("step-")))
    throw new Error(`${command}\nended with ${code} at step ${lastStep(folder)}:\n${output}`);
}

/** Starts a program that listens on port 8080, sends it a photo, and ends it with SIGTERM. */
async function runService(folder, program, environment) {
  const child = spawn("npx", ["--no-install", "ts-node", program], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
    env: environment,
    detached: true, // npx passes no signals on: the whole group gets them
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  const photo = readFileSync(join(folder, "photo.jpg"));
  const ask = (body) => fetch("http://127.0.0.1:8080", { method: "POST", body }).catch(() => undefined);
  let answer;
  while (answer === undefined && child.exitCode === null) {
    await setTimeout(500);
    answer = await ask(photo);
  }
  const [found, refused] = [await answer?.json(), await ask("no image")];
  process.kill(-child.pid, "SIGTERM");
  await ended;
  if (found?.length !== 3 || typeof found[0].probability !== "number" || refused?.status !== 400)
    throw new Error(`${program} answered ${JSON.stringify(found)}, then ${refused?.status}`);
}

/** @param folder an npm project with the package, ts-node, typescript and @types/node */
export async function checkReadme(folder, environment) {
  const blocks = codeBlocks(readFileSync(join(folder, "node_modules", "eva-clip", "README.md"), "utf8"));
  const ofLanguage = (language) =>
    blocks.filter((block) => block.language === language).map(({ code }) => code);
  await makeStandIns(folder);
  for (const code of ofLanguage("json")) writeFileSync(join(folder, "tsconfig.json"), code);

  const run = (command, args) =>
    execFileSync(command, args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"], env: environment });
  const programs = ofLanguage("ts");
  for (const [i, code] of programs.entries()) {
    writeFileSync(join(folder, `program${i}.ts`), code);
    if (code.includes(".listen(")) await runService(folder, `program${i}.ts`, environment);
    else run("npx", ["--no-install", "ts-node", `program${i}.ts`]);
  }
  const commands = ofLanguage("sh").flatMap(commandsOf);
  for (const command of commands) {
    console.error(`README: ${command.slice(0, 100)}`);
    if (command.startsWith("npx eva-clip train")) await trainOneStep(folder, command);
    else run("bash", ["-c", command]);
  }
  if (programs.length === 0 || commands.length === 0)
    throw new Error("the README has no program or no command");
  rmSync(join(folder, "logs"), { recursive: true });
  console.error(`README: ${programs.length} programs and ${commands.length} commands run verbatim`);
}
