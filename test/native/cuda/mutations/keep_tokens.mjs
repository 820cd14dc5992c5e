// Broken copies of patch dropout and stochastic depth that keep_tokens_test must catch.
export const mutations = [
  {
    file: "keep_tokens.cu",
    changes: [
      ["no warp barrier after the keys", "      }\n      warp_barrier();\n", "      }\n"],
      ["keys past the last token", "if (first + i < tokens) words", "if (first + i <= tokens) words"],
      [
        "tokens at the threshold skipped",
        "key < threshold || (key == threshold && lanes_before(equal) < equals_left)",
        "key < threshold",
      ],
      ["a key read past the last token", "keys[min(token, tokens - 1)]", "keys[token]"],
      ["the residual dropped too", "values[j] * factor + others[j]", "(values[j] + others[j]) * factor"],
    ],
  },
];
