// Writes docs/errors.md from lib/error_codes.ts.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { errorsPage } from "./check/error_codes.mjs";

const root = resolve(import.meta.dirname, "..");
writeFileSync(join(root, "docs", "errors.md"), errorsPage(root));
