// One declaration, one CPU kernel, one TypeScript wrapper and one test for each op of csrc/ops/all_ops.h.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { listFiles, readText } from "./source_tree.mjs";

/** The names inside `op_list<…>` of all_ops.h. */
function declaredOps(root) {
  const text = readText(root, "csrc/ops/all_ops.h").replaceAll(/\/\/.*$/gm, "");
  const [, list] = /all_ops\s*=\s*op_list<([^>]*)>/.exec(text) ?? [];
  return (list ?? "").split(",").map((name) => name.trim());
}

/** Files named after a header: layer_norm.cpp, or those of a folder layer_norm/ that it has grown into. */
function filesOfStem(root, folder, stem, extension) {
  const single = `${folder}/${stem}${extension}`;
  const inFolder = listFiles(root, `${folder}/${stem}`).filter((path) => path.endsWith(extension));
  return existsSync(join(root, single)) ? [single, ...inFolder] : inFolder;
}

function checkOp(root, op, headers) {
  const problems = [];
  const declaration = new RegExp(`^struct ${op}\\b[^;]*\\{`, "m");
  const declaring = headers.filter((path) => declaration.test(readText(root, path)));
  if (declaring.length !== 1) {
    return [
      `op ${op}: declared in ${declaring.length} headers of csrc/ops (${declaring.join(", ")}), not in one`,
    ];
  }
  const stem = declaring[0].replace(/^csrc\/ops\/(.*)\.h$/, "$1");
  const mentions = (path, pattern) => pattern.test(readText(root, path));

  const kernels = filesOfStem(root, "csrc/cpu", stem, ".cpp");
  const kernel = new RegExp(`\\b${op}\\b`);
  if (!kernels.some((path) => mentions(path, kernel)))
    problems.push(`op ${op}: no kernel in csrc/cpu/${stem}.cpp`);

  const wrapper = `lib/ops/${stem}.ts`;
  if (!existsSync(join(root, wrapper)) || !mentions(wrapper, new RegExp(`"${op}"`)))
    problems.push(`op ${op}: lib/ops/${stem}.ts does not wrap it`);
  if (!existsSync(join(root, `test/ops/${stem}.test.ts`)))
    problems.push(`op ${op}: no test/ops/${stem}.test.ts`);
  return problems;
}

export function checkOps(root) {
  if (!existsSync(join(root, "csrc/ops/all_ops.h"))) return ["csrc/ops/all_ops.h: missing"];
  const headers = listFiles(root, "csrc/ops");
  return declaredOps(root).flatMap((op) => checkOp(root, op, headers));
}
