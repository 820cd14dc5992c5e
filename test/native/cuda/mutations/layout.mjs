// Broken copies of the ops that rearrange rows that layout_test must catch.
export const mutations = [
  {
    file: "layout.cu",
    changes: [
      ["transpose: no barrier before the tile is read", "    block_barrier();\n    for", "    for"],
      [
        "transpose: one row too many",
        "top + i < m && left + column < n",
        "top + i <= m && left + column < n",
      ],
      ["mean_tokens: the mean of all tokens", "n = begin; n < tokens", "n = 0; n < tokens"],
    ],
  },
];
