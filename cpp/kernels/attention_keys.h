// Which keys the queries of a segment see.
#pragma once

#include "kernels/kernels.h"

namespace embedrt {
namespace {

struct Keys {
  size_t first, last;  // half open
};

// The keys that any of `count` queries from `query` on sees.
inline Keys keys_seen(const AttentionArgs& args, size_t query, size_t count) {
  const size_t end = query + count;
  Keys keys{0, args.causal ? end : args.tokens};
  if (args.window > 0) {
    if (query > args.window) keys.first = query - args.window;
    if (end + args.window < keys.last) keys.last = end + args.window;
  }
  return keys;
}

// Sixteen lanes of a row that begin with key j; those of keys that are not seen become `fill`.
template <class V>
typename V::F only_seen(typename V::F x, size_t j, Keys keys, typename V::F fill) {
  if (j < keys.first) x = V::first(fill, static_cast<int>(keys.first - j), x);
  if (j + 16 > keys.last) x = V::first(x, static_cast<int>(keys.last - j), fill);
  return x;
}

}  // namespace
}  // namespace embedrt
