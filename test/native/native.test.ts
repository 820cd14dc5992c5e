import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

test("the C++ unit tests pass", () => {
  const folder = resolve(__dirname, "../../build/native-Release");
  const args = ["--test-dir", folder, "--output-on-failure", "--no-tests=error"];
  // Tests that measure time run beside this one, so it stands back.
  const { status, stdout } = spawnSync("nice", ["-n", "15", "ctest", ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(stdout);
});

// Elsewhere the kernels are compiled once, for the machine's own kind.
(process.arch === "x64" ? test : test.skip)(
  "only kernels for newer processors hold their instructions",
  () => {
    const script = resolve(__dirname, "../../scripts/check_isa.mjs");
    const { status, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  },
);
