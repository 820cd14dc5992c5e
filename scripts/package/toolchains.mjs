// The package under the tools of its users: TypeScript, bundlers, test runners.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, root } from "./consumer.mjs";

const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Adds tools to an installed project. */
export function installTools({ installed }) {
  const ours = ["ts-node", "typescript", "@types/node", "esbuild", "jest", "openai"];
  installed.npm(
    "install",
    "--save-dev",
    "--ignore-scripts",
    ...ours.map((name) => `${name}@${devDependencies[name]}`),
    ...["typescript-6@npm:typescript@~6.0", "typescript-7@npm:typescript@~7.0", "vitest@3", "webpack@5"],
  );
}

const STRICTEST = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--noEmit"];
const TARGET = ["--target", "es2022", "--lib", "es2023,esnext.disposable", "--types", "node"];
/** Declarations of packages are checked as well: no skipLibCheck. */
export function typeScript({ installed }) {
  const resolutions = {
    typescript: ["--module", "node16"],
    "typescript-6": ["--module", "nodenext"],
    "typescript-7": ["--module", "esnext", "--moduleResolution", "bundler"],
  };
  for (const [name, resolution] of Object.entries(resolutions)) {
    const compiler = installed.path("node_modules", name, "bin", "tsc");
    installed.run(process.execPath, [compiler, ...STRICTEST, ...TARGET, ...resolution, "encode.mts"]);
    console.error(`  ${name} ${installed.run(process.execPath, [compiler, "--version"]).trim()}`);
  }
}

/** Bundles with the package external work; one that contains it says what to do. */
export function bundlers({ installed }) {
  const external = ["eva-clip", "sharp"];
  for (const [input, format] of [
    ["encode.cjs", "cjs"],
    ["encode.mjs", "esm"],
  ]) {
    const output = `esbuild/${input}`;
    const options = ["--bundle", "--platform=node", `--format=${format}`, `--outfile=${output}`];
    installed.bin("esbuild", [input, ...options, ...external.map((name) => `--external:${name}`)]);
    installed.run(process.execPath, [output]);
  }
  const inside = ["--bundle", "--platform=node", "--outfile=esbuild/inside.cjs", "--external:sharp"];
  installed.bin("esbuild", ["encode.cjs", ...inside]);
  const message = installed.runToFail(process.execPath, ["esbuild/inside.cjs"]);
  check(
    /mark eva-clip as external/.test(message),
    `a bundle that contains the addon's code says:\n${message}`,
  );

  // Without webpack-cli, which would be one more dependency.
  writeFileSync(
    installed.path("webpack.cjs"),
    `require("webpack")(
      {
        mode: "production", target: "node20", entry: "./encode.cjs", output: { path: __dirname + "/webpack" },
        externals: { "eva-clip": "commonjs eva-clip", sharp: "commonjs sharp" },
      },
      (error, stats) => {
        if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
      },
    );\n`,
  );
  installed.run(process.execPath, ["webpack.cjs"]);
  installed.run(process.execPath, ["webpack/main.js"]);
}

export function testRunners({ installed }) {
  installed.bin("jest", ["--testMatch", "**/embed_jest.cjs", "--ci"]);
  installed.bin("vitest", ["run"]);
}
