// Broken copies of the elementwise ops that elementwise_test must catch.
const ELEMENTWISE = "elementwise.cu";

export const mutations = [
  {
    file: ELEMENTWISE,
    changes: [
      ["b not broadcast", "if (++phase == period) phase = 0;", "++phase;"],
      [
        "sums of a gradient before rounding",
        "to_float(from_float<D>(Gradient{}(values[j], inputs[j])))",
        "Gradient{}(values[j], inputs[j])",
      ],
      ["b loaded as groups across its end", "groups_repeat && aligned(b)", "aligned(b)"],
    ],
  },
  {
    file: "elements.cuh",
    kernels: [ELEMENTWISE],
    changes: [
      ["a group past the end", "grouped && i + Width <= count", "grouped && i <= count"],
      [
        "one element past the end",
        "single < i + Width && single < count",
        "single < i + Width && single <= count",
      ],
      ["bf16 pairs in the wrong order", "x[2 * i] = two.first", "x[2 * i] = two.second"],
    ],
  },
  {
    file: "activation.cuh",
    kernels: [ELEMENTWISE],
    changes: [["GELU's slope without the density", " + x * 0.39894228f * expf(-0.5f * x * x)", ""]],
  },
];
