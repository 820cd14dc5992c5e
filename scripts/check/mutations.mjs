// Broken copies of the kernels, which scripts/mutations.mjs builds and runs: test/native/cuda/mutations/rotary.mjs holds
// those that rotary_test must catch. They have to keep up with the kernels, so what they replace must occur once.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { listFiles, readText } from "./source_tree.mjs";

const TABLES = "test/native/cuda/mutations";
const KERNELS = "csrc/cuda";

/** Every mutation of a tree: { name, file, kernels, test, text, becomes }, file and kernels below csrc/cuda. */
export async function loadMutations(root) {
  const all = [];
  for (const path of listFiles(root, TABLES)) {
    const test = basename(path, ".mjs");
    const { mutations } = await import(pathToFileURL(join(root, path)));
    for (const { file, kernels = [file], changes } of mutations) {
      for (const [name, text, becomes] of changes) all.push({ name, file, kernels, test, text, becomes });
    }
  }
  return all;
}

/** The mutation's file with the text replaced; an Error where that cannot be. */
export function mutate(root, { name, file, test, text, becomes }) {
  const path = `${KERNELS}/${file}`;
  const pieces = existsSync(join(root, path)) ? readText(root, path).split(text) : [];
  if (pieces.length === 2 && text !== becomes) return pieces.join(becomes);
  const found =
    pieces.length === 0 ? "is not there" : `has ${JSON.stringify(text)} ${pieces.length - 1} times`;
  throw new Error(`${TABLES}/${test}.mjs: ${name}: ${path} ${found}, once is needed`);
}

function problemsOf(root, mutation) {
  try {
    mutate(root, mutation);
  } catch (error) {
    return [error.message];
  }
  const needed = mutation.kernels.map((kernel) => `${KERNELS}/${kernel}`);
  return [...needed, `test/native/cuda/${mutation.test}_test.cpp`]
    .filter((path) => !existsSync(join(root, path)))
    .map((path) => `${TABLES}/${mutation.test}.mjs: ${mutation.name}: there is no ${path}`);
}

export async function checkMutations(root) {
  return (await loadMutations(root)).flatMap((mutation) => problemsOf(root, mutation));
}
