// Broken copies of the ops that move rows that layout_test must catch.
export const mutations = [
  {
    file: "layout.cu",
    changes: [
      ["transpose: no barrier before the square is read", "    block_barrier();\n    for", "    for"],
      ["transpose: no barrier before the next square", "    block_barrier();\n  }\n}", "  }\n}"],
      [
        "transpose: a row past the last",
        "top + i < m && left + place < n",
        "top + i <= m && left + place < n",
      ],
      ["gather_rows: an index one too large", "0 <= row && row < rows", "0 <= row && row <= rows"],
    ],
  },
];
