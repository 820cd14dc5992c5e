#!/usr/bin/env node
// A node-gyp for prebuildify, which runs `rebuild`: that would delete build/ with every compiled object.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";

const nodeGyp = createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
const [, ...options] = process.argv.slice(2);
for (const command of ["configure", "build"]) {
  const { status } = spawnSync(process.execPath, [nodeGyp, command, ...options], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
