// Broken copies of the optimizers that optimizer_test must catch.
const OPTIMIZER = "optimizer/optimizer.cu";

export const mutations = [
  {
    file: "optimizer/update_rule.cuh",
    kernels: [OPTIMIZER],
    changes: [
      ["one element too many", "return min(tensor.count,", "return min(tensor.count + 1,"],
      ["copies of the old values", "copy[i] = to_bf16(e.parameter)", "copy[i] = to_bf16(e.gradient)"],
    ],
  },
  {
    file: OPTIMIZER,
    changes: [
      ["no shared memory for the broadcast", "double_scratch_bytes + 4;", "double_scratch_bytes;"],
      ["no barrier in the broadcast", "place.store(0, value);\n  block_barrier();", "place.store(0, value);"],
      ["sums of the first tensor's tiles", "p.tile_sums[tensor.first_tile + i];", "p.tile_sums[i];"],
      ["the ratio before the last tile", "+ 1 == tiles", "+ 2 == tiles"],
      ["no ratio of empty tensors", "trust_ratios[i] = is_finite ? 1 : 0", "trust_ratios[i] = 0"],
      ["squares that overflow", "narrow < INFINITY ? double(narrow)", "true ? double(narrow)"],
      ["the last tiles not in the norm", "min(tiles, (block_index()", "min(tiles - 1, (block_index()"],
      [
        "learning rate of the first tensor",
        "double(p.shared.learning_rates[tile.tensor])",
        "double(p.shared.learning_rates[0])",
      ],
      ["averages of a norm that is not finite", "if (!(fabs(double(*norm)) < double(INFINITY))) return;", ""],
      [
        "averages without the last elements",
        "wide_end + thread_index(); i < end; i += threads)\n    tensor.parameter",
        "wide_end + thread_index(); i < wide_end; i += threads)\n    tensor.parameter",
      ],
      ["trust ratio not clamped", "min(max(ratio, 0.01), 10.0)", "ratio"],
    ],
  },
  {
    file: "optimizer/tensor_tiles.cu",
    changes: [
      ["a moved tensor not noticed", "current.parameter == previous.parameter && ", ""],
      [
        "the second pass of a group before the first",
        "list_tiles(tensors, begin, end, 0, list);",
        "list_tiles(tensors, begin, end, passes - 1, list), list_tiles(tensors, begin, end, 0, list);",
      ],
    ],
  },
];
