// Broken copies of the rows of unit length that l2_normalize_test must catch.
export const mutations = [
  {
    file: "l2_normalize.cu",
    changes: [
      [
        "zero rows divided by zero",
        "fmaxf(sqrtf(block_sum(square, shared_at<float>(0))), epsilon)",
        "sqrtf(block_sum(square, shared_at<float>(0)))",
      ],
      ["the gradient's part along y left in", "gradients[j] - values[j] * along", "gradients[j]"],
    ],
  },
];
