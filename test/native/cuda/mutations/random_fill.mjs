// Broken copies of the normal deviates that random_fill_test must catch.
export const mutations = [
  {
    file: "random_fill.cu",
    changes: [["the seed ignored", "}}, seed, fill_key)", "}}, 0, fill_key)"]],
  },
];
