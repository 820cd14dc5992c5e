// Rules on names, lengths and words, for every source file.
import { basename } from "node:path/posix";
import { forEachLine, listFiles, readText } from "./source_tree.mjs";

const WARN_LINES = 300;
const MOST_LINES = 400;
/** Columns of a line of documentation, so that it reads in an editor without wrapping. */
const MOST_COLUMNS = 160;
/** Files that may be longer, each with the reason. */
const LONG_FILES = {};

const SOURCE = /\.(ts|mts|mjs|js|h|cpp|cu|cuh|cmake|py|sh)$/;
const TEXT = /\.(ts|mts|mjs|js|h|cpp|cu|cuh|cmake|py|sh|md|json|txt|gyp)$/;

const VAGUE_NAME = /^(utils?|helpers?|common|misc|managers?)\./;
const FILE_NAME = /^[a-z0-9_]+(\.test|\.config|\.build)?\.[a-z]+$/;

/** Brackets keep these patterns from matching themselves. */
const FORBIDDEN = [
  [/\bT[O]DO\b|\bF[I]XME\b|\bX[X]X\b/, "unfinished work"],
  [/\bp[l]aceholder\b|\bnot [i]mplemented\b/i, "unfinished work"],
  [/(^|[\s"'`(=:])\/(w[o]rk|r[o]ot|h[o]me|t[m]p)\/\w/, "a path of one machine"],
  [
    /napi_create_e[x]ternal_(array)?buffer|\b(Array)?Buffer(<\w+>)?::N[e]w\([^,()]+,[^,()]+,/,
    "a buffer of memory that V8 did not allocate, which Electron refuses",
  ],
  [/registry\.n[p]mjs|deb\.d[e]bian\.org|p[y]pi\.org/, "the host of a registry"],
];

function checkLength(root, path) {
  const lines = readText(root, path).split("\n").length - 1;
  if (lines > MOST_LINES && !(path in LONG_FILES))
    return { problems: [`${path}: ${lines} lines, ${MOST_LINES} at most`], warnings: [] };
  if (lines > WARN_LINES && !(path in LONG_FILES))
    return { problems: [], warnings: [`${path}: ${lines} lines; about ${WARN_LINES} is the aim`] };
  return { problems: [], warnings: [] };
}

export function checkHouseRules(root) {
  const problems = [];
  const warnings = [];
  for (const path of listFiles(root, ".").filter((file) => TEXT.test(file) && file !== "package-lock.json")) {
    if (SOURCE.test(path)) {
      const length = checkLength(root, path);
      problems.push(...length.problems);
      warnings.push(...length.warnings);
      const name = basename(path);
      if (VAGUE_NAME.test(name)) problems.push(`${path}: a name that says nothing`);
      if (!FILE_NAME.test(name)) problems.push(`${path}: file names are snake_case`);
    }
    forEachLine(root, path, (line, number) => {
      if (path.endsWith(".md") && line.length > MOST_COLUMNS)
        problems.push(`${path}:${number}: ${line.length} columns, ${MOST_COLUMNS} at most`);
      for (const [pattern, what] of FORBIDDEN) {
        if (pattern.test(line)) problems.push(`${path}:${number}: ${what}: ${line.trim().slice(0, 80)}`);
      }
    });
  }
  return { problems, warnings };
}
