import { captureCli } from "../support/run_cli";

/** Runs the command on a machine without any tool. */
async function buildWithoutTools(...flags: string[]) {
  const { PATH, CXX, CUDACXX, CMAKE_PREFIX_PATH, dnnl_DIR } = process.env;
  const kept = { PATH, CXX, CUDACXX, CMAKE_PREFIX_PATH, dnnl_DIR };
  for (const name of Object.keys(kept)) delete process.env[name];
  process.env.PATH = "/nowhere";
  try {
    return await captureCli("build", ...flags);
  } finally {
    for (const [name, value] of Object.entries(kept)) if (value !== undefined) process.env[name] = value;
  }
}

test("build lists everything that is missing at once, with the packages that bring it", async () => {
  const { code, err } = await buildWithoutTools();
  expect(code).toBe(1);
  expect(err).toMatch(/missing: a C\+\+20 compiler .*; CMake 3\.22 or newer; ninja or make; oneDNN\. /);
  expect(err).toMatch(
    /apt-get install g\+\+ cmake ninja-build libdnnl-dev ocl-icd-opencl-dev .*ERR_EVACLIP_BUILD/,
  );
});

test("with --cuda nvcc is needed, and with --fetch-onednn git in place of oneDNN", async () => {
  const { err } = await buildWithoutTools("--cuda", "--fetch-onednn");
  expect(err).toMatch(/; git, to fetch oneDNN; the CUDA Toolkit 12\.4 or newer/);
  expect(err).not.toContain("libdnnl-dev");
});

test("architectures are compute capabilities", async () => {
  const { code, err } = await captureCli("build", "--cuda-architectures", "hopper");
  expect(code).toBe(2);
  expect(err).toContain("such as 80,90a");
});
