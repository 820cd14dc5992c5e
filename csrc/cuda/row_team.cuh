#pragma once
// Kernels that process the rows of a matrix, each by a team of threads: a warp for rows of up to 1,024
// columns, whose sums need no barrier, otherwise a block. A thread holds groups of 8 adjacent columns of a
// row in registers, so a row is read once; the next row is loaded while the current one is processed.

#include "core/error.h"
#include "cuda/column_sums.h"
#include "cuda/context.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

inline constexpr int group_columns = 8;

/// Threads per block and blocks per SM of a kernel; together they limit a thread to 65,536 / (threads blocks)
/// registers.
struct occupancy {
  int threads, blocks;
};

/// Tuning of the row kernels. HBM bandwidth needs about 32 KiB of loads in flight per SM (3.35 TB/s, 132 SMs,
/// 1 µs); a thread has 16 bytes per operand and group in flight. Blocks are few, because each leaves partial
/// sums of columns.
struct row_tuning {
  // Warp teams, by groups per lane. Forward, weight, bias and row take 24 registers per group; backward, the
  // sums of columns and rows in bf16 take 40.
  static constexpr occupancy warp_forward[] = {{}, {128, 8}, {128, 5}, {128, 4}, {128, 3}};
  static constexpr occupancy warp_backward[] = {{}, {128, 4}, {128, 3}, {128, 2}, {128, 2}};
  // Block teams, by groups per thread. One group serves EVA02's hidden layers: 256 threads for B/16, 352 for
  // L/14, two blocks per SM of either.
  static constexpr occupancy block[] = {{}, {352, 2}, {512, 1}};
};

/// Eight adjacent elements of a row in registers, as they are in memory.
template <class T> struct packed_group {
  static constexpr int vectors = int(sizeof(T)) / 2;
  device::vector16 data[vectors];

  /// Loads from `column` on, with zeros after the end of the row. `aligned`: the address and the size of rows
  /// are multiples of 16 bytes.
  __device__ void load(const T* row, int64_t column, int64_t columns, bool aligned) {
    if (aligned && column < columns) {
#pragma unroll
      for (int i = 0; i < vectors; ++i) data[i] = device::load_16(row + column + 8 / vectors * i);
      return;
    }
    float x[group_columns];
#pragma unroll
    for (int i = 0; i < group_columns; ++i)
      x[i] = column + i < columns ? device::to_float(row[column + i]) : 0;
    pack(x);
  }

  __device__ void pack(const float (&x)[group_columns]) {
#pragma unroll
    for (int i = 0; i < 4 * vectors; ++i) {
      uint32_t& word = data[i / 4].words[i % 4];
      if constexpr (vectors == 1)
        word = device::pack_bf16(x[2 * i], x[2 * i + 1]);
      else
        word = device::as_word(x[i]);
    }
  }

  __device__ void unpack(float (&x)[group_columns]) const {
#pragma unroll
    for (int i = 0; i < 4 * vectors; ++i) {
      const uint32_t word = data[i / 4].words[i % 4];
      if constexpr (vectors == 1) {
        const device::pair two = device::unpack_bf16(word);
        x[2 * i] = two.first;
        x[2 * i + 1] = two.second;
      } else {
        x[i] = device::as_float(word);
      }
    }
  }

  __device__ void store(T* row, int64_t column, int64_t columns, bool aligned) const {
    if (aligned && column < columns) {
#pragma unroll
      for (int i = 0; i < vectors; ++i) device::store_16(row + column + 8 / vectors * i, data[i]);
      return;
    }
    float x[group_columns];
    unpack(x);
#pragma unroll
    for (int i = 0; i < group_columns; ++i)
      if (column + i < columns) row[column + i] = device::from_float<T>(x[i]);
  }
};

template <class T>
__device__ void load_group(float (&x)[group_columns], const T* row, int64_t column, int64_t columns,
                           bool aligned) {
  packed_group<T> packed;
  packed.load(row, column, columns, aligned);
  packed.unpack(x);
}

template <class T>
__device__ void store_group(T* row, int64_t column, int64_t columns, bool aligned,
                            const float (&x)[group_columns]) {
  packed_group<T> packed;
  packed.pack(x);
  packed.store(row, column, columns, aligned);
}

/// Stores x and rounds it to what was stored.
template <class T>
__device__ void store_rounded(T* row, int64_t column, int64_t columns, bool aligned,
                              float (&x)[group_columns]) {
  packed_group<T> packed;
  packed.pack(x);
  packed.store(row, column, columns, aligned);
  packed.unpack(x);
}

/// Whether a row stays in registers while its sums are added up. In a block, two groups per thread do not,
/// nor does a group in f32: they are loaded again, from L1 or L2.
template <class T, class Team, int Groups>
inline constexpr bool keeps_row = Groups <= Team::groups_kept && (sizeof(T) == 2 || Team::is_warp);

/// Whether the next row is loaded ahead, for which f32 takes too many registers.
template <class T, class Team, int Groups>
inline constexpr bool loads_ahead = sizeof(T) == 2 && keeps_row<T, Team, Groups>;

/// The number of a group's columns within the row.
__device__ inline int columns_left(int64_t column, int64_t columns) {
  return int(max(min(columns - column, int64_t(group_columns)), int64_t(0)));
}

/// Sums of columns in shared memory, for kernels that have no registers left; each belongs to one thread.
/// `Threads`: at least those of the block; constant, so that offsets need no registers.
template <int Vectors, int Groups, int Threads> struct shared_sums {
  device::shared_array<float> data;  // [Vectors, Groups, 8, Threads]

  static constexpr int bytes = Vectors * Groups * group_columns * Threads * int(sizeof(float));

  __device__ void clear() const {
    for (int i = 0; i < Vectors * Groups * group_columns; ++i) data.store(element(0, 0, i), 0);
  }
  /// Every thread of the warp must call it: the barrier keeps the compiler from loading sums before x is
  /// known.
  __device__ void add(int vector, int group, const float (&x)[group_columns]) const {
    device::warp_barrier();
#pragma unroll
    for (int i = 0; i < group_columns; ++i) {
      const int at = element(vector, group, i);
      data.store(at, data.load(at) + x[i]);
    }
  }
  __device__ void load(int vector, float (&sums)[Groups][group_columns]) const {
#pragma unroll
    for (int group = 0; group < Groups; ++group)
#pragma unroll
      for (int i = 0; i < group_columns; ++i) sums[group][i] = data.load(element(vector, group, i));
  }

 private:
  static __device__ int element(int vector, int group, int i) {
    return ((vector * Groups + group) * group_columns + i) * Threads + device::thread_index();
  }
};

/// A team of one warp.
struct warp_team {
  static constexpr bool is_warp = true;
  static constexpr int groups_kept = 4;
  static constexpr occupancy forward(int groups) { return row_tuning::warp_forward[groups]; }
  static constexpr occupancy backward(int groups) { return row_tuning::warp_backward[groups]; }
  static constexpr int teams_of(int threads) { return threads / device::warp_size; }
  /// Shared memory of the column sums of a block.
  static constexpr int shared_bytes(int threads, int groups) {
    return threads * groups * group_columns * int(sizeof(float));
  }

  __device__ int member() const { return device::lane_index(); }
  __device__ int members() const { return device::warp_size; }
  __device__ int teams() const { return teams_of(device::block_threads()); }
  __device__ int index() const { return device::warp_index(); }

  /// Replaces each value by its sum over the team.
  template <int Count> __device__ void add_up(float (&values)[Count]) {
#pragma unroll
    for (float& value : values) value = device::warp_sum(value);
  }

  /// to [columns] = the sums over the block's warps, which then add up groups in turn. Every thread of the
  /// block must call it.
  template <int Groups>
  __device__ void store_sums(const float (&sums)[Groups][group_columns], float* to, int64_t columns,
                             bool aligned) const {
    const auto shared = device::shared_at<float>(0);  // [warps, Groups, 8, lanes]
    const auto element = [&](int warp, int group, int i) {
      return ((warp * Groups + group) * group_columns + i) * device::warp_size + member();
    };
    device::block_barrier();
#pragma unroll
    for (int group = 0; group < Groups; ++group)
#pragma unroll
      for (int i = 0; i < group_columns; ++i) shared.store(element(index(), group, i), sums[group][i]);
    device::block_barrier();
    for (int group = index(); group < Groups; group += teams()) {
      float totals[group_columns] = {};
      for (int warp = 0; warp < teams(); ++warp)
        for (int i = 0; i < group_columns; ++i) totals[i] += shared.load(element(warp, group, i));
      store_group(to, group_columns * int64_t(member() + group * members()), columns, aligned, totals);
    }
  }
};

/// A team of one block.
struct block_team {
  static constexpr bool is_warp = false;
  static constexpr int groups_kept = 1;
  static constexpr occupancy forward(int groups) { return row_tuning::block[groups]; }
  static constexpr occupancy backward(int groups) { return row_tuning::block[groups]; }
  static constexpr int teams_of(int) { return 1; }
  static constexpr int max_sums = 2;  // that are added up at once
  static constexpr int shared_bytes(int threads, int) {
    return 2 * max_sums * threads / device::warp_size * int(sizeof(float));
  }

  __device__ int member() const { return device::thread_index(); }
  __device__ int members() const { return device::block_threads(); }
  __device__ int teams() const { return 1; }
  __device__ int index() const { return 0; }

  // Calls alternate between two buffers, so one barrier per call is enough: before a buffer is overwritten,
  // every thread has passed the barrier of the other one.
  template <int Count> __device__ void add_up(float (&values)[Count]) {
    static_assert(Count <= max_sums);
    const int warps = device::block_threads() / device::warp_size;
    const auto shared = device::shared_at<float>(0);  // [2, max_sums, warps]
    const int first = buffer_ * max_sums * warps;
    buffer_ = 1 - buffer_;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const float sum = device::warp_sum(values[i]);
      if (device::lane_index() == 0) shared.store(first + i * warps + device::warp_index(), sum);
    }
    device::block_barrier();
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      values[i] = 0;
      for (int warp = 0; warp < warps; ++warp) values[i] += shared.load(first + i * warps + warp);
    }
  }

  template <int Groups>
  __device__ void store_sums(const float (&sums)[Groups][group_columns], float* to, int64_t columns,
                             bool aligned) const {
#pragma unroll
    for (int group = 0; group < Groups; ++group)
      store_group(to, group_columns * int64_t(member() + group * members()), columns, aligned, sums[group]);
  }

 private:
  int buffer_ = 0;
};

/// The first column of group `group` of this thread.
template <class Team> __device__ int64_t first_column(const Team& team, int group) {
  return group_columns * int64_t(team.member() + group * team.members());
}

/// Calls body(row, loaded) for each row of the team, with what load(row) returns; `Ahead`: the next row is
/// loaded first.
template <bool Ahead, class Team, class Load, class Body>
__device__ void for_rows(const Team& team, int64_t rows, const Load& load, const Body& body) {
  const int64_t first = int64_t(device::block_index()) * team.teams() + team.index(),
                stride = int64_t(device::grid_blocks()) * team.teams();
  if constexpr (Ahead) {
    if (first >= rows) return;
    auto next = load(first);
    for (int64_t row = first; row < rows; row += stride) {
      const auto current = next;
      if (row + stride < rows) next = load(row + stride);
      body(row, current);
    }
  } else {
    for (int64_t row = first; row < rows; row += stride) body(row, load(row));
  }
}

/// Whether rows of `columns` elements at these addresses can be accessed 16 bytes at a time.
template <class... Pointers> bool rows_are_aligned(int64_t columns, Pointers... pointers) {
  return columns % group_columns == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// The blocks of a launch: all that are resident at once, if there are so many rows.
template <class Team> int resident_blocks(int64_t rows, int threads, occupancy most, const context& c) {
  const int64_t blocks = c.properties.multiprocessors * int64_t(most.threads * most.blocks / threads),
                teams = Team::teams_of(threads);
  return int(std::min(blocks, (rows + teams - 1) / teams));
}

/// Calls start(team, groups per thread as a constant, threads per block) for a block per row.
template <class Start> void for_block_team(const char* op, int64_t columns, const Start& start) {
  const auto threads = [columns](int groups) {
    const int64_t warp_columns = groups * group_columns * device::warp_size;
    return int(std::max<int64_t>(1, (columns + warp_columns - 1) / warp_columns)) * device::warp_size;
  };
  const auto most = [](int groups) { return row_tuning::block[groups].threads; };
  if (threads(1) <= most(1))
    start(block_team{}, std::integral_constant<int, 1>{}, threads(1));
  else if (threads(2) <= most(2))
    start(block_team{}, std::integral_constant<int, 2>{}, threads(2));
  else
    throw argument_error(std::string(op) + ": rows of " + std::to_string(columns) +
                         " columns exceed the limit of the CUDA kernels, " +
                         std::to_string(2 * most(2) * group_columns));
}

/// The same, with a warp per row for up to 1,024 columns.
template <class Start> void for_row_team(const char* op, int64_t columns, const Start& start) {
  constexpr int64_t warp_columns = group_columns * device::warp_size;
  constexpr int threads = 128;
  if (columns <= warp_columns)
    start(warp_team{}, std::integral_constant<int, 1>{}, threads);
  else if (columns <= 2 * warp_columns)
    start(warp_team{}, std::integral_constant<int, 2>{}, threads);
  else if (columns <= 3 * warp_columns)
    start(warp_team{}, std::integral_constant<int, 3>{}, threads);
  else if (columns <= 4 * warp_columns)
    start(warp_team{}, std::integral_constant<int, 4>{}, threads);
  else
    for_block_team(op, columns, start);
}

}  // namespace eva::cuda
