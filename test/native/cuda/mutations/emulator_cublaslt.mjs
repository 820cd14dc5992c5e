// Broken copies of how cuBLASLt is opened and called, which emulator_cublaslt_test must catch.
export const mutations = [
  {
    file: "linear/cublaslt.cpp",
    changes: [
      [
        "a folder is taken for the library",
        "if (!fs::is_directory(given, ignored)) return {given};",
        "return {given};",
      ],
      ["the folder itself is not searched", '{"", "lib", "lib64",', '{"lib", "lib64",'],
      [
        "paths of libraries that do not open are not told",
        "    tried += (tried",
        "    if (false) tried += (tried",
      ],
    ],
  },
  {
    file: "linear/gemm.cpp",
    changes: [
      [
        "the bias of the first run",
        "  if (problem.bias) set(bias_pointer, at.bias);\n  if (!untried",
        "  if (!untried",
      ],
    ],
  },
];
