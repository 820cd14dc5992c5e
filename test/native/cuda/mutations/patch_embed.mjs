// Broken copies of the patch embedding that patch_embed_test must catch.
export const mutations = [
  {
    file: "patch_embed.cu",
    changes: [
      [
        "red and blue exchanged",
        "channel == 0 ? factor[0] : channel == 1 ? factor[1] : factor[2]",
        "channel == 2 ? factor[0] : channel == 1 ? factor[1] : factor[2]",
      ],
      [
        "positions without the class token's",
        "positions + (1 + patch) * columns",
        "positions + patch * columns",
      ],
      ["a patch outside the grid", "patch < count ? patch : -1", "patch"],
      ["dpositions of a dropped patch", "kept.of_token(i - i / tokens - 1)", "kept.of_token(i - i / tokens)"],
      ["every image's class token from the first", "return {b * tokens, 0};", "return {b, 0};"],
    ],
  },
  {
    file: "patch_embed/projection.cu",
    changes: [
      ["no barrier after the loads", "    block_barrier();\n#pragma", "#pragma"],
      ["no barrier before the next loads", "    block_barrier();\n  }\n", "  }\n"],
      ["columns past the last", "k + column < inner;", "k + column <= inner;"],
      ["the roundings forgotten", "sum + rest", "sum"],
      [
        "4 bytes of shared memory too few",
        "shared_bytes = 2 * depth * stride * int(sizeof(float))",
        "shared_bytes = 2 * depth * stride * int(sizeof(float)) - 8",
      ],
      ["a row stored past the last", "row < rows && column < columns)", "row <= rows && column < columns)"],
    ],
  },
];
