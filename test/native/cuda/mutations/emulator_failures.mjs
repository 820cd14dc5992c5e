// Broken copies of what follows an error, which emulator_failures_test must catch.
export const mutations = [
  {
    file: "device/memory.h",
    kernels: ["table.cpp"],
    changes: [
      ["the last error is not cleared", "  cudaGetLastError();  // clears it; otherwise", "  // otherwise"],
    ],
  },
  {
    file: "device/runtime.h",
    kernels: ["backend.cpp"],
    changes: [
      ["a failed capture is not ended", "      cudaStreamEndCapture(on, &unfinished);\n", ""],
      [
        "a refused allocation stays the last error",
        "    cudaGetLastError();\n    return nullptr;",
        "    return nullptr;",
      ],
    ],
  },
  {
    file: "backend.cpp",
    changes: [
      ["a failed capture has no fallback", "      return nullptr;\n    }\n  }", "      throw;\n    }\n  }"],
      ["the reason of a failed capture is lost", "      capture_failure_ = failure.what();\n", ""],
    ],
  },
  {
    file: "../graph/program.cpp",
    changes: [["no captured program is run", "  if (!captured_) return run_one_by_one();\n", ""]],
  },
];
