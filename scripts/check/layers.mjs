// Who may include or import whom, in both languages. DESIGN: an arrow only ever points to the right.
import { dirname, join, normalize } from "node:path/posix";
import { forEachLine, listFiles, readText } from "./source_tree.mjs";

/** Folder of csrc/ → the folders it may include, besides itself. */
const INCLUDES = {
  napi: ["cpu/dispatch", "graph", "runtime", "io", "image", "ops", "core"],
  graph: ["runtime", "ops", "core"],
  "cpu/dispatch": ["cpu", "runtime", "ops", "core"],
  cpu: ["cpu/dispatch", "runtime", "ops", "core"],
  cuda: ["cuda/device", "runtime", "ops", "core"],
  "cuda/device": [],
  runtime: ["core"],
  io: ["cpu/dispatch", "core"],
  image: ["cpu/dispatch", "core"],
  ops: ["core"],
  core: [],
};

/** The layers of lib/, from the top down: a file may import its own layer and those below it. Folders are rooms. */
const LAYERS = [
  ["cli"],
  ["index.ts", "train.ts", "graph.ts", "data.ts", "weights.ts", "serve.ts", "search.ts"],
  ["serve"],
  ["search"],
  ["train"],
  ["eval"],
  ["clip"],
  ["weights", "hub"],
  ["models", "losses", "optim", "data"],
  ["nn", "image", "text"],
  ["ops"],
  [
    ...["tensor.ts", "op_outputs.ts", "grad.ts", "checkpoint.ts", "compile.ts", "compile_by_shape.ts"],
    ...[
      "parameter.ts",
      "parameter_stack.ts",
      "parameter_role.ts",
      "staged_inputs.ts",
      "device.ts",
      "list_devices.ts",
      "host_tensor.ts",
    ],
  ],
  ["io"],
  ["native.ts"],
  ["native_not_found.ts"],
  ["semaphore.ts"],
  ["abortable.ts", "logger.ts", "random.ts", "sample_error.ts", "shape.ts"],
  ["arguments.ts", "container_limits.ts"],
  ["errors.ts", "suggestion.ts"],
  ["error_codes.ts"],
];

/** Rooms of models in use, which need nothing of training: [room, a room that it may not import, whatever its layer]. */
const SEPARATE = [
  ["clip", "train"],
  ["serve", "train"],
  ["search", "train"],
];

const rankOf = (layer) => LAYERS.findIndex((layers) => layers.includes(layer));

/** "lib/nn/linear.ts" → "nn", "lib/tensor.ts" → "tensor.ts"; the extension may be missing. */
function layerOf(path) {
  const [, first, ...rest] = path.split("/");
  return rest.length > 0 ? first : `${first.replace(/\.ts$/, "")}.ts`;
}

/** The longest folder of the table that holds a path given from csrc/. */
function cppFolder(path) {
  const [outer, inner] = path.split("/");
  return `${outer}/${inner}` in INCLUDES ? `${outer}/${inner}` : outer;
}

function checkIncludes(root) {
  const problems = [];
  for (const path of listFiles(root, "csrc")) {
    const folder = cppFolder(path.replace(/^csrc\//, ""));
    forEachLine(root, path, (line, number) => {
      const [, bracket, included] = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(line) ?? [];
      if (included === undefined) return;
      const where = `${path}:${number}`;
      if (included === "napi.h" || included === "node_api.h") {
        if (folder !== "napi") problems.push(`${where}: only csrc/napi may include <${included}>`);
      } else if (bracket === '"') {
        const target = cppFolder(included);
        if (!(target in INCLUDES)) problems.push(`${where}: "${included}" is not a path from csrc/`);
        else if (target !== folder && !INCLUDES[folder]?.includes(target))
          problems.push(`${where}: csrc/${folder} may not include csrc/${target}`);
      }
    });
  }
  return problems;
}

function resolveModule(path, specifier) {
  return normalize(join(dirname(path), specifier)).replace(/\.(js|ts)$/, "");
}

/** The relative imports of a TypeScript file: [line number, path from the root without extension]. */
function relativeImports(root, path) {
  const found = [];
  forEachLine(root, path, (line, number) => {
    for (const [, specifier] of line.matchAll(
      /(?:\bfrom\s+|\bimport\(|\brequire\(|^import\s+)"(\.[^"]*)"/g,
    )) {
      found.push([number, resolveModule(path, specifier)]);
    }
  });
  return found;
}

function checkImports(root) {
  const problems = [];
  for (const path of listFiles(root, "lib").filter((file) => file.endsWith(".ts"))) {
    const layer = layerOf(path);
    if (rankOf(layer) < 0) problems.push(`${path}: lib/${layer} is not in the table of layers`);
    for (const [number, target] of relativeImports(root, path)) {
      const where = `${path}:${number}`;
      if (target === "package.json") continue;
      if (!target.startsWith("lib/")) problems.push(`${where}: lib/ may not import ${target}`);
      else if (rankOf(layerOf(target)) < rankOf(layer))
        problems.push(`${where}: lib/${layer} may not import lib/${layerOf(target)}`);
      else if (SEPARATE.some(([room, other]) => room === layer && other === layerOf(target)))
        problems.push(
          `${where}: lib/${layer} may not import lib/${layerOf(target)}: serving needs no training`,
        );
    }
    forEachLine(root, path, (line, number) => {
      if (path !== "lib/native.ts" && /node-gyp-build|\.node"|process\.dlopen/.test(line))
        problems.push(`${path}:${number}: only lib/native.ts loads the addon`);
    });
  }
  return problems;
}

/** The modules that a file imports, for values or types: files that need each other's types cannot be read apart either. */
function importedModules(root, path) {
  const statement = /^(?:import|export)\s+(?:type\s)?[^;]*?from\s+"(\.[^"]*)"/gm;
  return [...readText(root, path).matchAll(statement)].map(([, specifier]) => resolveModule(path, specifier));
}

/** In a cycle of imports between files, the order in which they happen to run decides what they see. */
function checkCycles(root) {
  const graph = new Map();
  for (const path of listFiles(root, "lib").filter((file) => file.endsWith(".ts"))) {
    graph.set(path.replace(/\.ts$/, ""), importedModules(root, path));
  }
  const problems = [];
  const finished = new Set();
  const visit = (module, trail) => {
    if (finished.has(module)) return;
    if (trail.includes(module)) {
      problems.push(`import cycle: ${[...trail.slice(trail.indexOf(module)), module].join(" → ")}`);
      return;
    }
    for (const target of graph.get(module) ?? []) visit(target, [...trail, module]);
    finished.add(module);
  };
  for (const module of graph.keys()) visit(module, []);
  return problems;
}

export function checkLayers(root) {
  return [...checkIncludes(root), ...checkImports(root), ...checkCycles(root)];
}
