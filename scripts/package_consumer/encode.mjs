// The same as an ES module; both see the same classes.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import * as everything from "eva-clip";
import { EvaClip, EvaClipError, tokenize } from "eva-clip";

const required = createRequire(import.meta.url)("eva-clip");
assert.equal(EvaClip, required.EvaClip);
const INTEROP_NAMES = ["default", "module.exports", "__esModule"];
const imported = Object.keys(everything).filter((name) => !INTEROP_NAMES.includes(name));
assert.deepEqual(imported.sort(), Object.keys(required).sort());
assert.equal(tokenize("a cat").length, 77);
await assert.rejects(EvaClip.create("no such model"), EvaClipError);
console.log(`import: ${imported.length} names`);
