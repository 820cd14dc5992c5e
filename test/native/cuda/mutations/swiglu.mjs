// Broken copies of SwiGLU that swiglu_test must catch.
export const mutations = [
  {
    file: "swiglu.cu",
    changes: [
      ["variance including the padding", "if (i < count) squares[0]", "squares[0]"],
      ["dbias with the weight applied", "dbias[group][i] += dy[i];", "dbias[group][i] += g;"],
      [
        "the value's sums in place of the gate's",
        "sums.add(dgate_sums, group, dgate)",
        "sums.add(dgate_sums, group, dvalue)",
      ],
      ["sums of dx not cleared", "  sums.clear();", ""],
    ],
  },
];
