// Broken copies of the code that copies and runs programs, which backend_test must catch.
const STAGING = "staging.cpp";
const PROGRAM = "../graph/program.cpp";

export const mutations = [
  {
    file: STAGING,
    changes: [
      ["a slot is filled before its last copy", "  via.copied.wait();\n  all.produce", "  all.produce"],
      ["results share their place", "  if (!small_reads_.empty()) used =", "  if (false) used ="],
      ["an upload is not recorded", "on);\n  via.copied.record(all.on);", "on);"],
      ["a slot is read before its copy", "    via.copied.wait();\n    std::memcpy", "    std::memcpy"],
      [
        "a slot is reused before it was read",
        "std::tuple_size_v<ring>) - 1;",
        "std::tuple_size_v<ring>) + 1;",
      ],
    ],
  },
  {
    file: PROGRAM,
    changes: [
      ["a capture survives a move of the arena", "  captured_.reset();\n  capture_tried_ = false;\n", ""],
      ["captured before the first run", "if (has_run_ && !capture_tried_)", "if (!capture_tried_)"],
    ],
  },
  {
    file: "backend.cpp",
    changes: [
      ["graphs are kept by close()", "    captures_->free();\n    for", "    for"],
      ["memory is promised twice", "device::free_bytes() - promised_", "device::free_bytes()"],
      ["a promise is not withdrawn", "    promised_ -= bytes;", ""],
      [
        "tables of the other lane are uploaded beside their first use",
        "if (communication_) lane_wait(context_.stream, communication_->stream).run();",
        "",
      ],
    ],
  },
  {
    file: "../runtime/parameter_memory.cpp",
    changes: [["a parameter is allocated at once", "  if (!is_promised_) memory_", "  memory_"]],
  },
];
