// Broken copies of the embedding and its gradient that embedding_test must catch.
const EMBEDDING = "embedding.cu";

export const mutations = [
  {
    file: EMBEDDING,
    changes: [
      [
        "bounds not clamped",
        "return min(max(int64_t(cu_seqlens[sequence]), int64_t(0)), tokens);",
        "return cu_seqlens[sequence];",
      ],
      ["positions not checked", " || place >= context_length", ""],
      ["padding not cleared", "(sequences.tokens - end) * from.columns", "0 * from.columns"],
      [
        "the last token's gradient skipped",
        "t < sequences.bound(sequences.count)",
        "t + 1 < sequences.bound(sequences.count)",
      ],
      [
        "a position of the next sequence",
        "t < sequences.bound(b + 1) ? place",
        "t <= sequences.bound(b + 1) ? place",
      ],
    ],
  },
  {
    file: "scatter_rows.cuh",
    kernels: [EMBEDDING],
    changes: [
      ["no barrier before the totals", "  device::block_barrier();\n", ""],
      ["sums not cleared", "  sums.clear();\n", ""],
      ["an item of the warp skipped", "i < end ? items(i)", "i + 1 < end ? items(i)"],
      ["only the first warp's sum", "warp < Warps; ++warp)", "warp < 1; ++warp)"],
      [
        "a store past the last column",
        "first_column + offset >= columns) continue",
        "first_column + offset > columns) continue",
      ],
    ],
  },
];
