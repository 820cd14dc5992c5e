// Broken copies of the lane of inputs, which emulator_input_staging_test must catch.
export const mutations = [
  {
    file: "input_lane.h",
    kernels: ["backend.cpp"],
    changes: [
      ["a slot is filled while it is read", "          read_.block(lane_.on_);\n", ""],
      ["reading a slot is not recorded", "          read_.record(lane_.compute_);\n", ""],
      ["a slot is read before it is filled", "          filled_.block(lane_.compute_);\n", ""],
      ["filling a slot is not recorded", "          filled_.record(lane_.on_);\n", ""],
      ["slots are not counted", "    lane_.bytes_ += bytes_;\n", ""],
      ["slots are not freed", "    device::release(memory_);\n    lane_", "    lane_"],
    ],
  },
  {
    file: "../graph/input_staging.cpp",
    changes: [
      ["a set is taken twice", "std::exchange(taken_[set], true)", "taken_[set]"],
      ["a set is not given back", "    taken_[set] = false;\n", ""],
      [
        "nothing wakes up what waits",
        "  if (const auto on = device_.lock()) on->wake_input_lane();\n}\n\nbool",
        "}\n\nbool",
      ],
      [
        "memory is not checked as a whole",
        "  on.backend().expect_free(bytes);  // all of them or none\n",
        "",
      ],
      ["what waits outlives its program", "  return set_ || of_->has_ended();", "  return set_.has_value();"],
      ["slots outlive their program", "  sets_.swap(freed);\n", ""],
    ],
  },
];
