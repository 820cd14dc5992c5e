// Checks the formatting of every source file, or fixes it with --write: clang-format for C++, Biome for the rest.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const write = process.argv.includes("--write");
const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: "inherit" });

const tracked = spawnSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", "*.cpp", "*.h", "*.cu", "*.cuh"],
  { cwd: root, encoding: "utf8" },
);
const sources = tracked.stdout.split("\n").filter(Boolean);
const clang = run("clang-format", [...(write ? ["-i"] : ["--dry-run", "-Werror"]), ...sources]);
if (clang.error) console.error("clang-format was not found; install with: apt-get install clang-format");

const biome = createRequire(import.meta.url).resolve("@biomejs/biome/bin/biome");
const { status } = run(process.execPath, [biome, "format", ...(write ? ["--write"] : [])]);
process.exitCode = clang.status || status || (clang.error ? 1 : 0);
