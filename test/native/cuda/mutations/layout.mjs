// Broken copies of the ops that move rows that layout_test must catch.
export const mutations = [
  {
    file: "layout.cu",
    changes: [
      ["transpose: no barrier before the square is read", "    block_barrier();\n    for", "    for"],
      [
        "transpose: a row past the last",
        "top + i < m && left + place < n",
        "top + i <= m && left + place < n",
      ],
      ["mean_tokens: of all tokens", "n = begin; n < tokens", "n = 0; n < tokens"],
    ],
  },
];
