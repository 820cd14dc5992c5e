#pragma once

#include <vector>

#include "graph/graph.h"

namespace eva {

/// The ops of a program in their order, with the waits between lanes that keep every op's reads and writes in
/// that order.
struct schedule {
  struct step {
    node* applied = nullptr;
    /// Before this step, its lane waits for all earlier steps of the other lane.
    bool waits = false;
    /// The op may still run while the compute lane does the steps up to this one.
    int last_beside = 0;
  };
  std::vector<step> steps;
  /// At the end, the compute lane waits for the other one.
  bool waits_at_end = false;

  /// An op of the communication lane waits for all earlier ops of the compute lane, whose memory it may
  /// reuse; an op of the compute lane waits for the other lane when it reads what that writes, or writes what
  /// that reads or writes.
  static schedule of(const graph& recorded, const std::vector<node*>& order);
};

}  // namespace eva
