// Broken copies of the code that runs ops beside each other, which lanes_test must catch.
export const mutations = [
  {
    file: "../graph/schedule.cpp",
    changes: [
      ["a reader does not wait", "added.waits = std::any_of(", "added.waits = false && std::any_of("],
      ["a writer does not wait for readers", "(found->second || s.how != access::read)", "found->second"],
      ["the other lane does not wait", "added.waits = is_behind;", "added.waits = false;"],
      ["no wait at the end", "made.waits_at_end = !unfinished.empty();", ""],
    ],
  },
  {
    file: "../graph/program.cpp",
    changes: [
      [
        "memory is reused while the other lane reads it",
        "last = std::max(last, present.last_beside);",
        "last = std::max(last, step);",
      ],
    ],
  },
  {
    file: "backend.cpp",
    changes: [
      [
        "faults of the other lane are lost",
        "for_each_context([&](context& each) { each.faults.check(context_.stream); });",
        "context_.faults.check(context_.stream);",
      ],
    ],
  },
];
