// Broken copies of the report of faults that index_fault_test must catch.
export const mutations = [
  {
    file: "index_fault.cpp",
    changes: [
      ["a fault is not cleared", "  clear(on);\n  fail(found);", "  fail(found);"],
      ["the first clear is not waited for", "  clear({});\n  device::synchronize({});", "  clear({});"],
      ["the fault is not copied", "  device::download(", "  if (false) device::download("],
    ],
  },
  {
    file: "backend.cpp",
    changes: [
      ["faults are not fetched", "each.faults.fetch(context_.stream);", "(void)each;"],
      ["faults are read before they arrive", "        finished_.wait();\n", ""],
    ],
  },
  {
    file: "../graph/program.cpp",
    changes: [["a program is not finished", "  target.finish();\n", ""]],
  },
];
