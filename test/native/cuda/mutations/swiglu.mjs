// Broken copies of SwiGLU that swiglu_test must catch.
export const mutations = [
  {
    file: "swiglu.cu",
    changes: [
      ["variance over the padding", "if (i < count) squares", "squares"],
      [
        "dbias from the gradient of the norm",
        "dbias[group][i] += g[group][i];\n        g[group][i] *= weight[i];",
        "g[group][i] *= weight[i];\n        dbias[group][i] += g[group][i];",
      ],
    ],
  },
];
