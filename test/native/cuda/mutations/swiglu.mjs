// Broken copies of SwiGLU that swiglu_test must catch.
export const mutations = [
  {
    file: "swiglu.cu",
    changes: [
      ["variance including the padding", "if (i < count) squares", "squares"],
      [
        "dbias with the weight applied",
        "dbias[group][i] += g[group][i];\n        g[group][i] *= weight[i];",
        "g[group][i] *= weight[i];\n        dbias[group][i] += g[group][i];",
      ],
    ],
  },
];
