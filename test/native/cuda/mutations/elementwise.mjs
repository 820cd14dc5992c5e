// Broken copies of the elementwise ops that elementwise_test must catch.
const ELEMENTWISE = "elementwise.cu";

export const mutations = [
  {
    file: ELEMENTWISE,
    changes: [
      ["b does not repeat", "if (++phase == period) phase = 0;", "++phase;"],
      ["b read as groups at any place", "groups_repeat && aligned(b)", "aligned(b)"],
    ],
  },
  {
    file: "elements.cuh",
    kernels: [ELEMENTWISE],
    changes: [
      ["a group behind the end", "grouped && i + Width <= count", "grouped && i <= count"],
      [
        "one element behind the end",
        "single < i + Width && single < count",
        "single < i + Width && single <= count",
      ],
      ["bf16 in the wrong order", "x[2 * i] = two.first", "x[2 * i] = two.second"],
    ],
  },
  {
    file: "activation.cuh",
    kernels: [ELEMENTWISE],
    changes: [["a slope without the density", " + x * 0.39894228f * expf(-0.5f * x * x)", ""]],
  },
];
