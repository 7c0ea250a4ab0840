#include "file_maker.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

#include "base/sha256.h"
#include "base/xxh64.h"

namespace embedrt::test {
namespace {

constexpr uint16_t kNone = format::kNoTensor;

template <class T>
void append(Bytes& bytes, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
}

void append(Bytes& bytes, const std::string& name) {
  append(bytes, static_cast<uint8_t>(name.size()));
  for (const char c : name) bytes.push_back(static_cast<std::byte>(c));
}

void pad_to_64(Bytes& bytes) {
  bytes.resize((bytes.size() + 63) / 64 * 64);
}

const Op& op_named(const char* name) {
  for (const Op* op : all_ops()) {
    if (op->name == name) return *op;
  }
  throw std::logic_error(std::string("no op ") + name);
}

}  // namespace

uint16_t ProgramMaker::tensor(Layout layout, uint32_t rows, uint32_t columns, float most) {
  const uint64_t size = layout_bytes(layout, rows, columns);
  const auto index = static_cast<uint16_t>(tensors.size());
  tensors.push_back({static_cast<uint8_t>(layout), rows, columns, bulk.size(), size, "t" + std::to_string(index)});
  const bool bytes = layout == Layout::table_i8 || layout == Layout::panel_i8;
  for (uint64_t i = 0; i < (bytes ? size : size / 4); ++i) {
    random_ = random_ * 1664525 + 1013904223;
    const int number = static_cast<int>(random_ >> 24) - 128;
    if (bytes) {
      append(bulk, static_cast<uint8_t>(std::max(number, -127)));
    } else if (layout == Layout::vector_i32) {
      append(bulk, static_cast<uint32_t>(number));
    } else {
      append(bulk, std::bit_cast<uint32_t>(static_cast<float>(number) / 128.0f * most));
    }
  }
  pad_to_64(bulk);
  return index;
}

uint16_t ProgramMaker::instruction(const char* name, std::vector<uint16_t> inputs, std::vector<uint16_t> roles,
                                   const std::map<size_t, uint32_t>& words) {
  const Op& op = op_named(name);
  if (std::none_of(directory.begin(), directory.end(), [&](const OpText& entry) { return entry.id == op.id; })) {
    OpText entry{op.id, name, {}};
    for (const Attribute& attribute : op.attributes) entry.attributes.emplace_back(attribute.name);
    directory.push_back(std::move(entry));
  }
  InstructionText text{op.id, std::move(inputs), std::move(roles), {}};
  text.tensors.resize(op.tensor_roles.size(), kNone);
  for (size_t i = 0; i < op.attributes.size(); ++i) {
    const auto word = words.find(i);
    text.words.push_back(word == words.end() ? op.attributes[i].default_word : word->second);
  }
  instructions.push_back(std::move(text));
  return static_cast<uint16_t>(instructions.size());
}

uint16_t ProgramMaker::lookup(Layout layout, uint32_t columns, uint32_t index) {
  const uint32_t rows = index == 0 ? vocabulary : index == 1 ? max_tokens : index == 2 ? 1 : kTypes;
  const uint16_t table = tensor(layout, rows, columns);
  const uint16_t scale = layout == Layout::table_i8 ? tensor(Layout::vector_f32, 1, rows) : kNone;
  return instruction("lookup", {0}, {table, scale}, {{0, index}});
}

uint16_t ProgramMaker::norm(uint16_t x, uint32_t columns, uint32_t kind, bool bias) {
  const uint16_t weight = tensor(Layout::vector_f32, 1, columns);
  return instruction("norm", {x}, {weight, bias ? tensor(Layout::vector_f32, 1, columns) : kNone}, {{0, kind}});
}

uint16_t ProgramMaker::linear(Layout layout, std::vector<uint16_t> inputs, uint32_t n, uint32_t k, uint32_t activation,
                              bool bias, uint32_t input_bits) {
  std::vector<uint16_t> roles = {tensor(layout, n, k), kNone, kNone, kNone};
  if (layout == Layout::panel_i8) {
    roles[1] = tensor(Layout::vector_f32, 1, n);
    roles[2] = tensor(Layout::vector_i32, 1, n);
  }
  if (bias) roles[3] = tensor(Layout::vector_f32, 1, n);
  return instruction("linear", std::move(inputs), std::move(roles), {{0, activation}, {2, input_bits}});
}

Bytes ProgramMaker::section() const {
  Bytes bytes;
  for (const size_t count : {directory.size(), tensors.size(), instructions.size(), outputs.size()}) {
    append(bytes, static_cast<uint32_t>(count));
  }
  for (const uint32_t word : {vocabulary, max_tokens, image[0], image[1]}) append(bytes, word);
  for (const OpText& op : directory) {
    append(bytes, op.id);
    append(bytes, static_cast<uint8_t>(op.attributes.size()));
    append(bytes, op.name);
    for (const std::string& attribute : op.attributes) append(bytes, attribute);
  }
  for (const TensorText& tensor : tensors) {
    append(bytes, static_cast<uint8_t>(tensor.layout));
    append(bytes, tensor.rows);
    append(bytes, tensor.columns);
    append(bytes, tensor.offset);
    append(bytes, tensor.size);
    append(bytes, tensor.name);
  }
  for (const InstructionText& instruction : instructions) {
    append(bytes, instruction.op);
    append(bytes, static_cast<uint8_t>(instruction.inputs.size()));
    append(bytes, static_cast<uint8_t>(instruction.tensors.size()));
    for (const uint16_t input : instruction.inputs) append(bytes, input);
    for (const uint16_t tensor : instruction.tensors) append(bytes, tensor);
    for (const uint32_t word : instruction.words) append(bytes, word);
  }
  for (const auto& [name, value] : outputs) {
    append(bytes, name);
    append(bytes, value);
  }
  return bytes;
}

Bytes make_file(const std::map<uint32_t, Bytes>& sections) {
  Bytes file(format::kHeaderSize + sections.size() * format::kSectionEntrySize + format::kChecksumSize);
  std::memcpy(file.data(), format::kMagic.data(), format::kMagic.size());
  put(file, 8, format::kVersion);
  put(file, 12, uint32_t{1});
  put(file, 24, static_cast<uint32_t>(sections.size()));
  Sha256 digest;
  size_t entry = format::kHeaderSize;
  for (const auto& [kind, content] : sections) {
    pad_to_64(file);
    put(file, entry, kind);
    put(file, entry + 8, uint64_t{file.size()});
    put(file, entry + 16, uint64_t{content.size()});
    put(file, entry + 24, xxh64(content));
    entry += format::kSectionEntrySize;
    file.insert(file.end(), content.begin(), content.end());
    if (kind == 0 || kind > std::size(format::kSectionRules) || !format::kSectionRules[kind - 1].decides_vectors)
      continue;
    Bytes head;
    append(head, kind);
    append(head, uint64_t{content.size()});
    digest.update(head);
    digest.update(sha256(content));
  }
  file.resize(file.size() + format::kTailSize);
  pad_to_64(file);
  put(file, 16, uint64_t{file.size()});
  const Sha256::Digest content_digest = digest.finish();
  std::copy(content_digest.begin(), content_digest.end(), file.begin() + 32);
  repair_header(file);
  return file;
}

Bytes make_file(const ProgramMaker& program) {
  return make_file({{1, program.section()}, {8, program.bulk}});
}

void repair_header(Bytes& file) {
  uint32_t sections = 0;
  std::memcpy(&sections, file.data() + 24, sizeof sections);
  const size_t end = format::kHeaderSize + std::min<size_t>(sections, 16) * format::kSectionEntrySize;
  if (end + format::kChecksumSize <= file.size()) put(file, end, xxh64(std::span(file).first(end)));
}

ProgramMaker every_op(uint32_t width) {
  ProgramMaker p(width == 24 ? 50 : 9, width == 24 ? 24 : 12);
  const auto add = [&](uint16_t a, uint16_t b) { return p.instruction("add", {a, b}, {}); };
  const auto pool = [&](uint16_t x, uint32_t kind) { return p.instruction("pool", {x}, {}, {{0, kind}}); };

  uint16_t x = add(p.lookup(Layout::table_i8, width, 0), p.lookup(Layout::matrix_f32, width, 1));
  x = add(x, p.lookup(Layout::matrix_f32, width, 2));
  x = add(x, p.lookup(Layout::table_i8, width, 3));
  x = p.norm(x, width, 0, true);
  uint32_t columns = width;
  for (uint32_t activation = 0; activation < 7; ++activation, ++columns) {
    const Layout layout = activation % 2 == 0 ? Layout::panel_i8 : Layout::panel_f32;
    x = p.linear(layout, {x}, columns + 1, columns, activation, activation % 3 == 0);
  }
  const uint32_t heads[] = {1, 3}, dim = columns / 3, inner = 3 * dim;
  x = p.linear(Layout::panel_f32, {x}, inner, columns, 0, false);
  for (uint32_t precision = 0; precision < 2; ++precision) {
    const Layout layout = precision == 0 ? Layout::panel_i8 : Layout::panel_f32;
    const uint32_t kv_heads = precision, all = precision == 0 ? 3 * inner : 5 * dim;
    uint16_t qkv = p.linear(Layout::panel_i8, {x}, all, inner, 0, true, precision == 0 ? 16 : 8);
    if (precision == 1) {
      const std::vector<uint16_t> weights = {p.tensor(Layout::vector_f32, 1, dim),
                                             p.tensor(Layout::vector_f32, 1, dim)};
      qkv = p.instruction("head_norm", {qkv}, weights, {{0, heads[precision]}, {1, kv_heads}, {2, 1}});
    }
    const uint16_t bias = precision == 0 ? kNone : p.tensor(Layout::matrix_f32, heads[precision], 2 * p.max_tokens - 1);
    const uint16_t mixed =
        p.instruction("attention", {qkv}, {bias},
                      {{0, heads[precision]}, {1, 0x3e800000}, {2, precision}, {4, 2 * precision}, {5, kv_heads}});
    x = p.norm(p.linear(layout, {mixed, x}, inner, inner, 0, true), inner, precision, precision == 0);
  }
  uint16_t pooled = pool(x, 0);
  for (uint32_t kind = 1; kind < 7; ++kind) pooled = add(pooled, pool(x, kind));
  pooled = add(pooled, pool(p.linear(Layout::panel_i8, {x}, inner, inner, 0, true), 3));  // which absorbs it
  pooled = p.instruction("activate", {pooled}, {}, {{0, 11}});
  pooled = p.norm(p.linear(Layout::panel_i8, {pooled}, width + 1, inner, 5, true), width + 1, 0, true);
  const uint16_t tokens = p.instruction("normalize", {x}, {});
  p.outputs = {{"token_embeddings", tokens}, {"sentence_embedding", p.instruction("normalize", {pooled}, {})}};
  return p;
}

ProgramMaker tiny_encoder(bool quantised, uint32_t head_dim) {
  ProgramMaker p(head_dim == 8 ? 50 : 7, head_dim == 8 ? 24 : 10);
  const Layout panel = quantised ? Layout::panel_i8 : Layout::panel_f32;
  const Layout table = quantised ? Layout::table_i8 : Layout::matrix_f32;
  const uint32_t width = 2 * head_dim;
  uint16_t x = p.instruction("add", {p.lookup(table, width, 0), p.lookup(Layout::matrix_f32, width, 1)}, {});
  x = p.norm(x, width, 0, true);
  const uint16_t qkv = p.linear(panel, {x}, 3 * width, width, 0, true);
  const uint16_t mixed = p.instruction("attention", {qkv}, {}, {{0, 2}, {1, 0x3e800000}, {2, quantised ? 0u : 1u}});
  x = p.norm(p.linear(panel, {mixed, x}, width, width, 0, true), width, 0, true);
  const uint16_t inner = p.linear(panel, {x}, 2 * width, width, 2, true);
  x = p.norm(p.linear(panel, {inner, x}, width, 2 * width, 0, true), width, 0, true);
  p.outputs = {{"sentence_embedding", p.instruction("normalize", {p.instruction("pool", {x}, {})}, {})}};
  return p;
}

}  // namespace embedrt::test
