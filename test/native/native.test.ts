import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

test("the C++ unit tests pass", () => {
  const folder = resolve(__dirname, "../../build/native-Release");
  const args = ["--test-dir", folder, "--output-on-failure", "--no-tests=error", "--parallel", "2"];
  // A low priority, because tests that measure time run in parallel.
  const { status, stdout } = spawnSync("nice", ["-n", "15", "ctest", ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(stdout);
});

// On other architectures the kernels are compiled once.
(process.arch === "x64" ? test : test.skip)(
  "only the kernels of an instruction set contain its instructions",
  () => {
    const script = resolve(__dirname, "../../scripts/check_isa.mjs");
    const { status, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  },
);
