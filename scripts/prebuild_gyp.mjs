#!/usr/bin/env node
// The node-gyp that prebuildify calls. It asks for `rebuild`, which would delete build/ and every compiled object in it.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";

const nodeGyp = createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
const [, ...options] = process.argv.slice(2);
for (const command of ["configure", "build"]) {
  const { status } = spawnSync(process.execPath, [nodeGyp, command, ...options], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
