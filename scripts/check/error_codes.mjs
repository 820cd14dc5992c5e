// Error codes: the table is the type of lib/error_codes.ts with its comments. Every code that the sources use is in it, every
// code in it is used, and docs/errors.md is made of it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { listFiles, readText } from "./source_tree.mjs";

const TABLE = "lib/error_codes.ts";
const PAGE = "docs/errors.md";

/** The table: [{ code, when, advice }]; in a comment, the last sentence line says what to do. */
function tableOf(root) {
  const entries = [
    ...readText(root, TABLE).matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*\| "(ERR_EVACLIP_\w+)"/g),
  ];
  return entries.map(([, comment, code]) => {
    const lines = comment.split("\n").map((line) => line.replace(/^\s*\*\s?/, "").trim());
    const [when, ...advice] = lines.filter((line) => line !== "");
    return { code, when, advice: advice.join(" ") };
  });
}

export function errorsPage(root) {
  const sections = tableOf(root).map(({ code, when, advice }) => `## \`${code}\`\n\n${when}\n\n${advice}\n`);
  return `# Errors

Every error that this package throws or rejects with is an \`EvaClipError\`: \`code\` to branch on, \`message\` for people, \`details\` with the facts
as data, and \`cause\` where another error led to it. Codes are stable; texts are not. Callbacks' own errors, and the reason of an aborted signal,
pass through as they are.

\`\`\`ts
import { EvaClip, isEvaClipError } from "eva-clip";

try {
  await EvaClip.load("no/such/file.safetensors", { device: "cpu" });
} catch (error) {
  if (!isEvaClipError(error, "ERR_EVACLIP_IO")) throw error;
  console.error(error.message);
}
\`\`\`

\`isEvaClipError(error, code?)\` looks at the code alone, so it also knows errors of another copy of the package or another realm, for which
\`instanceof EvaClipError\` is false. \`ErrorCode\` is the type of all codes.

Below, each code with when it happens and what to do.

${sections.join("\n")}`;
}

export function checkErrorCodes(root) {
  if (!existsSync(join(root, TABLE))) return [];
  const known = tableOf(root);
  const codes = new Set(known.map(({ code }) => code));
  const used = new Set();
  const problems = known
    .filter(({ when, advice }) => when === undefined || advice === "")
    .map(({ code }) => `${TABLE}: ${code} needs a comment: when it happens, then what to do`);
  for (const path of [...listFiles(root, "lib"), ...listFiles(root, "csrc")].filter(
    (file) => file !== TABLE,
  )) {
    for (const [code] of readText(root, path).matchAll(/\bERR_EVACLIP_[A-Z_]*[A-Z](?![A-Z_*])/g)) {
      used.add(code);
      if (!codes.has(code)) problems.push(`${path}: ${code} is not in ${TABLE}`);
    }
  }
  for (const code of codes) if (!used.has(code)) problems.push(`${TABLE}: nothing uses ${code}`);
  const written = existsSync(join(root, PAGE)) ? readText(root, PAGE) : "";
  if (written !== errorsPage(root)) problems.push(`${PAGE} is stale: node scripts/errors_page.mjs writes it`);
  return problems;
}
