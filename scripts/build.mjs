// Builds dist/: JavaScript and types from lib/, and an ES module wrapper.
import { execFileSync } from "node:child_process";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");

rmSync(dist, { recursive: true, force: true });
execFileSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
// Node detects the exports of a CommonJS module, so `import` and `require` share one set of classes.
writeFileSync(join(dist, "index.mjs"), 'export * from "./index.js";\n');
writeFileSync(join(dist, "index.d.mts"), 'export * from "./index.js";\n');
chmodSync(join(dist, "cli", "main.js"), 0o755);
