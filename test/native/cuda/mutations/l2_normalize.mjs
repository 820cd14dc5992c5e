// Broken copies of L2 normalization that l2_normalize_test must catch.
export const mutations = [
  {
    file: "l2_normalize.cu",
    changes: [
      [
        "division by the norm of zero rows",
        "fmaxf(sqrtf(block_sum(square, shared_at<float>(0))), epsilon)",
        "sqrtf(block_sum(square, shared_at<float>(0)))",
      ],
      ["the projection on y not subtracted", "gradients[j] - values[j] * projection", "gradients[j]"],
    ],
  },
];
