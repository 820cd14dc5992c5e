// Builds dist/: JavaScript and types from lib/, and an ES module wrapper for each entry point.
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");

rmSync(dist, { recursive: true, force: true });
execFileSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
// Node detects the exports of a CommonJS module, so `import` and `require` share one set of classes.
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
for (const { import: wrapper, require: wrapped } of Object.values(exports)) {
  if (wrapper === undefined) continue;
  const text = `export * from "./${basename(wrapped.default)}";\n`;
  for (const path of Object.values(wrapper)) writeFileSync(join(root, path), text);
}
chmodSync(join(dist, "cli", "main.js"), 0o755);
