// Broken copies of the normal deviates that random_fill_test must catch.
export const mutations = [
  {
    file: "random_fill.cu",
    changes: [
      ["deviates beyond the cut", "cut <= 0 || fabsf(z) <= cut", "true"],
      ["the same numbers for every seed", "}}, seed, fill_key)", "}}, 0, fill_key)"],
      ["every parameter from the first stream", "uint32_t(int64_t(i) + a.first)", "uint32_t(a.first)"],
    ],
  },
];
