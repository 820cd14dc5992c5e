// Commands that only an installed package can show.
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
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
