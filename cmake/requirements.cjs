// What a machine needs to compile the package, for `eva-clip build` and scripts/setup.mjs, which runs before any npm package
// is installed. Versions are CMake's to check.
const { spawnSync } = require("node:child_process");

/**
 * One of `commands` answers, or `header` is found, or one of the `environment` variables tells CMake where it is.
 * `packages` are Debian's and Ubuntu's.
 */
const NEEDS = {
  compiler: {
    name: "a C++20 compiler (GCC 11 or newer)",
    packages: ["g++"],
    commands: [["c++", "--version"]],
    environment: ["CXX"],
  },
  cmake: { name: "CMake 3.22 or newer", packages: ["cmake"], commands: [["cmake", "--version"]] },
  builder: {
    name: "ninja or make",
    packages: ["ninja-build"],
    commands: [
      ["ninja", "--version"],
      ["make", "--version"],
    ],
  },
  onednn: {
    name: "oneDNN",
    packages: ["libdnnl-dev", "ocl-icd-opencl-dev"],
    header: "dnnl.hpp",
    environment: ["CMAKE_PREFIX_PATH", "dnnl_DIR"],
  },
  git: { name: "git, to fetch oneDNN", packages: ["git"], commands: [["git", "--version"]] },
  nvcc: {
    name: "the CUDA Toolkit 12.4 or newer (nvcc on the PATH, or named by CUDACXX)",
    packages: [],
    commands: [["nvcc", "--version"]],
    environment: ["CUDACXX"],
  },
};

function answers(command, args, input) {
  const options = { input, env: process.env, stdio: ["pipe", "ignore", "ignore"] };
  return spawnSync(command, args, options).status === 0;
}

function isPresent({ commands = [], header, environment = [] }) {
  if (environment.some((name) => process.env[name])) return true;
  if (commands.some(([command, ...args]) => answers(command, args))) return true;
  const probe = `#if !__has_include(<${header}>)\n#error\n#endif\n`;
  return header !== undefined && answers("c++", ["-x", "c++", "-E", "-"], probe);
}

/** The needs that are not met: [{ name, packages }]. */
function missingRequirements({ cuda = false, fetchOnednn = false } = {}) {
  const wanted = ["compiler", "cmake", "builder", fetchOnednn ? "git" : "onednn", ...(cuda ? ["nvcc"] : [])];
  return wanted.map((name) => NEEDS[name]).filter((need) => !isPresent(need));
}

/** CMake's own default is make, even where only ninja is installed. */
function generator() {
  return answers("ninja", ["--version"]) ? ["-G", "Ninja"] : [];
}

module.exports = { generator, missingRequirements };
