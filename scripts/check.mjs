// Checks the architecture and the house rules; fast and without dependencies, so that every test run includes it.
//   node scripts/check.mjs [--root FOLDER]
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkDeviceCode } from "./check/device_code.mjs";
import { checkErrorCodes } from "./check/error_codes.mjs";
import { checkHouseRules } from "./check/house_rules.mjs";
import { checkLayers } from "./check/layers.mjs";
import { checkMutations } from "./check/mutations.mjs";
import { checkOps } from "./check/ops.mjs";

const { values } = parseArgs({ options: { root: { type: "string" } } });
const root = resolve(values.root ?? resolve(import.meta.dirname, ".."));

const house = checkHouseRules(root);
const problems = [
  ...checkLayers(root),
  ...checkOps(root),
  ...checkErrorCodes(root),
  ...checkDeviceCode(root),
  ...(await checkMutations(root)),
  ...house.problems,
];
for (const warning of house.warnings) console.error(`warning: ${warning}`);
for (const problem of problems) console.error(`error: ${problem}`);
console.error(problems.length === 0 ? "check: all in order" : `check: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
