// Models, opened through embedrt.h, that the tests of the C library share.
#pragma once

#include <bit>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "embedrt.h"
#include "file_maker.h"

namespace embedrt::test {

using OpenModel = std::unique_ptr<embedrt_model, decltype(&embedrt_close)>;

inline OpenModel open_file(const Bytes& file, uint32_t threads) {
  embedrt_options options{};
  options.size = sizeof options;
  options.threads = threads;
  embedrt_model* model = nullptr;
  embedrt_error error;
  CHECK(embedrt_open_memory(file.data(), file.size(), &options, &model, &error) == EMBEDRT_OK);
  CHECK(error.status == EMBEDRT_OK && error.message[0] == '\0');
  return {model, &embedrt_close};
}

// Rows of tokens are table[id] + types[type], exactly as float32 adds.
struct TableModel {
  static constexpr uint32_t kColumns = 20, kVocabulary = 9, kMaxTokens = 70, kLogits = 3;
  ProgramMaker program{kVocabulary, kMaxTokens};

  explicit TableModel() {
    const uint16_t words = program.lookup(Layout::matrix_f32, kColumns, 0);
    const uint16_t types = program.lookup(Layout::matrix_f32, kColumns, 3);
    const uint16_t rows = program.instruction("add", {words, types}, {});
    const uint16_t pooled = program.instruction("pool", {rows}, {});
    program.outputs = {{"token_embeddings", rows},
                       {"sentence_embedding", program.instruction("normalize", {pooled}, {})},
                       {"logits", program.linear(Layout::panel_i8, {pooled}, kLogits, kColumns, 0, true)}};
  }

  float row(int32_t id, int32_t type, size_t column) const {
    return element(0, static_cast<size_t>(id), column) + element(1, static_cast<size_t>(type), column);
  }

 private:
  // Rows of a matrix begin on 64 bytes.
  float element(size_t tensor, size_t row, size_t column) const {
    constexpr size_t kStride = (kColumns + 15) / 16 * 16;
    float value;
    std::memcpy(&value, program.bulk.data() + program.tensors[tensor].offset + (row * kStride + column) * sizeof value,
                sizeof value);
    return value;
  }
};

// Texts of these lengths, with ids and types of all kinds.
struct Texts {
  std::vector<int32_t> ids, types;
  std::vector<int64_t> offsets{0};

  explicit Texts(const std::vector<int64_t>& lengths, int32_t salt = 0) {
    for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
    for (int64_t i = 0; i < offsets.back(); ++i) {
      ids.push_back(static_cast<int32_t>((i * 5 + i / 3 + salt) % TableModel::kVocabulary));
      types.push_back(static_cast<int32_t>((i / 2 + salt) % kTypes));
    }
  }

  size_t count() const { return offsets.size() - 1; }
  embedrt_texts call() const {
    embedrt_texts texts{};
    texts.size = sizeof texts;
    texts.count = count();
    texts.ids = ids.data();
    texts.offsets = offsets.data();
    texts.types = types.data();
    return texts;
  }
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// The rows of one output, `floats` of them; `output` null: the main one.
inline std::vector<float> run_texts(const embedrt_model* model, const embedrt_texts& texts, const char* output,
                                    size_t floats) {
  std::vector<float> rows(floats);
  const embedrt_target target{output, rows.data(), rows.size()};
  embedrt_error error;
  const embedrt_status status = embedrt_run_texts(model, &texts, &target, 1, &error);
  check(status == EMBEDRT_OK, "embedrt_run_texts", __FILE__, __LINE__, error.message);
  return rows;
}

}  // namespace embedrt::test

// The call fails with that status and a message that holds `part`, and fails as well for a caller who does not ask why.
#define CHECK_REFUSED(wanted, part, error, ...)                                                           \
  do {                                                                                                    \
    embedrt_error report_, *error = &report_;                                                             \
    CHECK((__VA_ARGS__) == (wanted));                                                                     \
    CHECK(report_.status == (wanted));                                                                    \
    embedrt::test::check(std::strstr(report_.message, part) != nullptr, #__VA_ARGS__, __FILE__, __LINE__, \
                         std::string("expected \"") + (part) + "\", got \"" + report_.message + "\"");    \
    error = nullptr;                                                                                      \
    CHECK((__VA_ARGS__) == (wanted));                                                                     \
  } while (false)
