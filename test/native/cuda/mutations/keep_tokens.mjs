// Broken copies of token dropping and stochastic depth that keep_tokens_test must catch.
export const mutations = [
  {
    file: "keep_tokens.cu",
    changes: [
      ["no warp barrier behind the keys", "      }\n      warp_barrier();\n", "      }\n"],
      ["keys past the last token", "if (first + i < tokens) words", "if (first + i <= tokens) words"],
      [
        "the token at the threshold left out",
        "key < threshold || (key == threshold && lanes_before(equal) < equals)",
        "key < threshold",
      ],
      ["a key read past the last token", "keys[min(token, tokens - 1)]", "keys[token]"],
      ["a residual dropped as well", "values[j] * factor + others[j]", "(values[j] + others[j]) * factor"],
    ],
  },
];
