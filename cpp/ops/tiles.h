// How an op that has absorbed its producer goes over a block: some items at a time, and of their rows some columns at a
// time, a tile that stays in the second-level cache.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "ops/run.h"

namespace embedrt {

constexpr size_t kTileBytes = size_t{128} << 10;

// Items are taken together up to so many rows.
constexpr size_t kTileRows = 256;

// Items first … last − 1.
struct Items {
  size_t first, last;
};

// The items in groups of at most kTileRows rows; a longer one is a group of its own.
inline std::vector<Items> group_items(std::span<const size_t> starts) {
  std::vector<Items> groups;
  for (size_t item = 0; item + 1 < starts.size(); ++item) {
    if (groups.empty() || starts[item + 1] - starts[groups.back().first] > kTileRows) groups.push_back({item, item});
    groups.back().last = item + 1;
  }
  return groups;
}

// The rows of the largest group, at least 1.
inline size_t most_rows(std::span<const Items> groups, std::span<const size_t> starts) {
  size_t most = 1;
  for (const Items& group : groups) most = std::max(most, starts[group.last] - starts[group.first]);
  return most;
}

// The rows from `first` on, those that there are of floats and of bytes.
inline View rows_from(View view, size_t first) {
  if (view.x != nullptr) view.x += first * view.stride;
  if (view.q.data != nullptr) {
    view.q.data += first * view.q.stride;
    view.q.scale += first;
    view.q.offset += first;
  }
  return view;
}

}  // namespace embedrt
