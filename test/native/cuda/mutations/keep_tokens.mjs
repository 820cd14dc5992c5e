// Broken copies of token dropping and stochastic depth that keep_tokens_test must catch.
export const mutations = [
  {
    file: "keep_tokens.cu",
    changes: [
      ["no warp barrier behind the keys", "      }\n      warp_barrier();\n", "      }\n"],
      ["keys past the last token", "if (first + i < tokens) words", "if (first + i <= tokens) words"],
      ["one token too few", "< keep) threshold", "<= keep) threshold"],
      ["a key read past the last token", "test((*this)[min(token, tokens - 1)])", "test((*this)[token])"],
      ["words of a large image's wrong token", "number % 4 < 2 ? low : high", "number % 4 < 2 ? high : low"],
      ["the sample of the next image", "uint32_t(i / sample_size)", "uint32_t(i / sample_size + 1)"],
      ["a residual dropped as well", "values[j] * factor + others[j]", "(values[j] + others[j]) * factor"],
    ],
  },
];
