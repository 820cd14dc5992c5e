// The mutants that scripts/mutations.mjs builds and runs: test/native/cuda/mutations/rotary.mjs lists those that
// rotary_test must catch. The text that a mutation replaces must occur exactly once, so that mutations are
// updated with the kernels.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { listFiles, readText } from "./source_tree.mjs";

const TABLES = "test/native/cuda/mutations";
const KERNELS = "csrc/cuda";

/** All mutations: { name, file, kernels, test, text, becomes }; file and kernels are relative to csrc/cuda. */
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

/** The mutation's file with the text replaced; throws if the text does not occur exactly once. */
export function mutate(root, { name, file, test, text, becomes }) {
  const path = `${KERNELS}/${file}`;
  const pieces = existsSync(join(root, path)) ? readText(root, path).split(text) : [];
  if (pieces.length === 2 && text !== becomes) return pieces.join(becomes);
  const found =
    pieces.length === 0 ? "does not exist" : `contains ${JSON.stringify(text)} ${pieces.length - 1} times`;
  throw new Error(`${TABLES}/${test}.mjs: ${name}: ${path} ${found}; it must contain it once`);
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
    .map((path) => `${TABLES}/${mutation.test}.mjs: ${mutation.name}: ${path} does not exist`);
}

export async function checkMutations(root) {
  return (await loadMutations(root)).flatMap((mutation) => problemsOf(root, mutation));
}
