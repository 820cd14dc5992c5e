// The same as an ES module; both see the same classes.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import * as everything from "eva-clip";
import { EvaClip, EvaClipError } from "eva-clip";
import * as data from "eva-clip/data";
import * as graph from "eva-clip/graph";
import * as search from "eva-clip/search";
import * as serve from "eva-clip/serve";
import * as train from "eva-clip/train";
import * as weights from "eva-clip/weights";

const entryPoints = {
  "eva-clip": everything,
  "eva-clip/data": data,
  "eva-clip/graph": graph,
  "eva-clip/search": search,
  "eva-clip/serve": serve,
  "eva-clip/train": train,
  "eva-clip/weights": weights,
};

const require = createRequire(import.meta.url);
const INTEROP_NAMES = ["default", "module.exports", "__esModule"];
for (const [name, module] of Object.entries(entryPoints)) {
  const required = require(name);
  const imported = Object.keys(module).filter((key) => !INTEROP_NAMES.includes(key));
  assert.deepEqual(imported.sort(), Object.keys(required).sort(), name);
  for (const key of imported) assert.equal(module[key], required[key], `${name}: ${key}`);
  console.log(`import ${name}: ${imported.length} names`);
}
assert.equal(everything.Device, graph.Device);
assert.equal(data.tokenize("a cat").length, 77);
await assert.rejects(EvaClip.create("no such model"), EvaClipError);
