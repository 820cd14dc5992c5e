// The files of the tree that the checks read: path from the root, with "/" between folders, and text.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const NOT_OURS = new Set(["node_modules", "fixtures", ".git"]);
/** Paths from the root. */
const GENERATED = new Set(["build", "dist", "prebuilds", "runs"]);

/** Every file below `folder`, as paths from `root`, sorted. */
export function listFiles(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  const pathOf = (entry) => (folder === "." ? entry.name : `${folder}/${entry.name}`);
  const paths = entries
    .filter((entry) => !NOT_OURS.has(entry.name) && !GENERATED.has(pathOf(entry)))
    .flatMap((entry) => (entry.isDirectory() ? listFiles(root, pathOf(entry)) : [pathOf(entry)]));
  return paths.sort();
}

export function readText(root, path) {
  return readFileSync(join(root, path), "utf8");
}

/** Calls `visit` with (line, line number from 1) for each line of a file. */
export function forEachLine(root, path, visit) {
  readText(root, path)
    .split("\n")
    .forEach((line, index) => {
      visit(line, index + 1);
    });
}
