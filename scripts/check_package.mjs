// Packs the npm package and uses it as its users do: every way to install it, TypeScript, bundlers, test runners, the
// commands, the code of the README and the guides. Needs prebuilds/ (npm run prebuild:all) and npm's registry or a warm cache.
//   node scripts/check_package.mjs [--all] [--tarball FILE] [NAME…]
//     --all: also what takes longer than CI has; --tarball: checks this file, built before; NAME: only these checks
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkDocs } from "./check_docs.mjs";
import { root, userEnvironment } from "./package/consumer.mjs";
import { checkContents, checkDeclarations, checkLibraries } from "./package/contents.mjs";
import {
  copiedModules,
  newerNode,
  npmInstall,
  npmOffline,
  npmWithoutScripts,
  pnpm,
  yarn1,
  yarn4,
} from "./package/installs.mjs";
import { buildCommand, initCommand } from "./package/commands.mjs";
import { bundlers, installTools, testRunners, typeScript } from "./package/toolchains.mjs";

/** What the other checks need, in this order. */
const PREPARATION = {
  pack: (context) => {
    const given = options.tarball === undefined ? [] : [resolve(options.tarball)];
    const args = ["pack", ...given, "--json", "--pack-destination", context.work];
    const packed = execFileSync("npm", args, {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    [context.report] = JSON.parse(packed);
    context.tarball = join(context.work, context.report.filename);
  },
  install: (context) => {
    context.installed = npmInstall(context);
  },
};

const QUICK = {
  contents: ({ report }) => checkContents(report),
  libraries: ({ installed }) => checkLibraries(installed.path("node_modules", "eva-clip")),
  declarations: ({ tarball }) => checkDeclarations(tarball),
  npmWithoutScripts,
  npmOffline,
  copiedModules,
  tools: installTools,
  typeScript,
  bundlers,
  testRunners,
  initCommand,
  docs: ({ installed }) => checkDocs(installed.folder, userEnvironment()),
};

const LONG = { pnpm, yarn1, yarn4, newerNode, buildCommand };

/** Checks that others build on. */
const NEEDS = { typeScript: ["tools"], bundlers: ["tools"], testRunners: ["tools"], docs: ["tools"] };

const { values: options, positionals: names } = parseArgs({
  options: { all: { type: "boolean", default: false }, tarball: { type: "string" } },
  allowPositionals: true,
});
const known = { ...QUICK, ...LONG };
const unknown = names.filter((name) => !(name in known));
if (unknown.length > 0)
  throw new Error(`no check ${unknown.join(", ")}; there are ${Object.keys(known).join(", ")}`);
const given = names.length > 0 ? names : Object.keys(options.all ? known : QUICK);
const wanted = new Set(given.flatMap((name) => [...(NEEDS[name] ?? []), name]));

const work = mkdtempSync(join(tmpdir(), "eva-clip-package-"));
const context = { work };
try {
  for (const [name, run] of Object.entries({ ...PREPARATION, ...known })) {
    if (!(name in PREPARATION) && !wanted.has(name)) continue;
    const started = performance.now();
    await run(context);
    console.error(`package: ${name} in order, ${((performance.now() - started) / 1e3).toFixed(1)} s`);
  }
  console.error("package: in order");
} finally {
  rmSync(work, { recursive: true, force: true });
}
