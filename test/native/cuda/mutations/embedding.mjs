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
      ["the sequence before", "bound(middle) <= t", "bound(middle) < t"],
      ["a sequence skipped in the search", "end - sequence > 1", "end - sequence > 2"],
    ],
  },
  {
    file: "scatter/sorted_items.cuh",
    kernels: [EMBEDDING],
    changes: [
      [
        "counts before the warp has cleared them",
        "    device::warp_barrier();\n    for_each",
        "    for_each",
      ],
      [
        "counts written while others read them",
        "      device::warp_barrier();\n      if (digit < sort_digits) {",
        "      if (digit < sort_digits) {",
      ],
      [
        "counts of all warps without a barrier",
        "    device::block_barrier();\n  }\n\n  /// Calls",
        "  }\n\n  /// Calls",
      ],
      ["an item skipped", "i < range.end ? source(i)", "i + 1 < range.end ? source(i)"],
      ["one pass for all rows", "shift = 8; (int64_t(rows) - 1) >> shift > 0", "shift = 8; rows < 0"],
      [
        "places of later blocks counted",
        "block < device::block_index()) place",
        "block <= device::block_index()) place",
      ],
      [
        "sums of smaller digits of the first warp",
        "warp < device::warp_index(); ++warp) sum",
        "warp < 1; ++warp) sum",
      ],
    ],
  },
  {
    file: "scatter/scatter_rows.cuh",
    kernels: [EMBEDDING],
    changes: [
      [
        "a destination that spans parts stored twice",
        "  if (p.spans(begin) && p.list.items[begin].to == to) return;\n",
        "",
      ],
      ["the last part of a destination missing", "part <= last; ++part", "part < last; ++part"],
      ["the sum not restarted", "for (float& each : sum) each = 0;", ""],
      ["the part's end not seen", "  store(p.spans(end));", "  store(false);"],
      [
        "rows without items not cleared",
        "const float zeros[Count] = {};\n    store_elements(y + i, zeros);",
        "",
      ],
    ],
  },
];
