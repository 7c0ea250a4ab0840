// The dot of bytes in loops that a compiler vectorises for its baseline.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedrt {
namespace {

inline void plain_dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                      size_t panels, int32_t* acc, size_t acc_stride) noexcept {
  for (size_t panel = 0; panel < panels; ++panel) {
    for (size_t row = 0; row < rows; ++row) {
      int32_t sum[16] = {};
      const uint8_t* bytes = a + row * a_stride;
      const int8_t* quad = w + panel * panel_stride;
      for (size_t q = 0; q < k; q += 4, quad += 64)
        for (int j = 0; j < 16; ++j)
          sum[j] += bytes[q] * quad[4 * j] + bytes[q + 1] * quad[4 * j + 1] + bytes[q + 2] * quad[4 * j + 2] +
                    bytes[q + 3] * quad[4 * j + 3];
      for (int j = 0; j < 16; ++j) acc[row * acc_stride + panel * 16 + static_cast<size_t>(j)] = sum[j];
    }
  }
}

}  // namespace
}  // namespace embedrt
