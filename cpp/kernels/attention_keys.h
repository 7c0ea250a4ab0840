// Which keys the queries of a segment see.
#pragma once

#include "kernels/args.h"

namespace embedrt {
namespace {

struct Keys {
  size_t first, last;  // half open
};

// The keys that any of `count` queries from `query` on sees.
inline Keys keys_seen(const AttentionArgs& args, size_t query, size_t count) {
  const size_t end = query + count;
  Keys keys{0, args.causal && end < args.keys() ? end : args.keys()};
  if (args.window > 0) {
    if (query > args.window) keys.first = query - args.window;
    if (end + args.window < keys.last) keys.last = end + args.window;
  }
  return keys;
}

// Sixteen lanes of a row that begin with key j; those of keys that are not seen, maybe all, become `fill`.
template <class V>
typename V::F only_seen(typename V::F x, size_t j, Keys keys, typename V::F fill) {
  const auto lanes_before = [j](size_t key) { return key < j ? 0 : key > j + 16 ? 16 : static_cast<int>(key - j); };
  if (j < keys.first) x = V::first(fill, lanes_before(keys.first), x);
  if (j + 16 > keys.last) x = V::first(x, lanes_before(keys.last), fill);
  return x;
}

}  // namespace
}  // namespace embedrt
