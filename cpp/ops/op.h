// What an op is to the rest of the core: a name, its attributes and tensor roles, a rule that checks an instruction
// and says what it defines, a rule that says what it costs, and a function that runs it on rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace embedrt {

struct Kernels;

enum class Layout : uint8_t { none = 0, vector_f32 = 1, vector_i32, matrix_f32, table_i8, panel_i8, panel_f32 };

// A tensor of the file. `data` points into the mapping (or a copy of it) and is aligned to 64 bytes.
struct Tensor {
  Layout layout = Layout::none;
  uint32_t rows = 0;
  uint32_t columns = 0;
  const std::byte* data = nullptr;
  uint64_t size = 0;
  std::string name;

  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data);
  }
};

// Bytes that `layout` needs for rows × columns (docs/format.md). Exact for the limits of the format: no overflow.
uint64_t layout_bytes(Layout layout, uint32_t rows, uint32_t columns);

// input: token ids or pixels, as its reader has it. rows: one for each token. grid: a fixed number for each image.
// segments: one for each text or image, or for each of a call's spans of texts.
enum class ValueKind : uint8_t { input, rows, grid, segments };
enum class Element : uint8_t { float32, uint8 };

struct ValueType {
  ValueKind kind = ValueKind::input;
  uint32_t columns = 0;
  bool image = false;              // whether the items are images
  uint32_t height = 0, width = 0;  // of a grid, whose rows are `prefix` ones and then its lines one after another
  uint32_t prefix = 0;
  Element element = Element::float32;
  uint8_t zero = 0;  // of uint8: the byte that stands for 0

  // Rows of an image; 1 for segments.
  size_t item_rows() const { return kind == ValueKind::grid ? prefix + size_t{height} * width : 1; }
  bool same_rows(const ValueType& other) const {
    return kind == other.kind && image == other.image && height == other.height && width == other.width &&
           prefix == other.prefix;
  }
  // The rows of `n` tokens of texts, or of `n` images.
  size_t rows(size_t n) const { return image ? n * item_rows() : n; }
  ValueType with_columns(uint32_t n) const {
    ValueType type = *this;
    type.columns = n;
    return type;
  }
};

// An attribute word and how to read it. For `choice`, names are separated by '|' and the word is the index of a name.
struct Attribute {
  enum class Type : uint8_t { u32, f32, choice };
  std::string_view name;
  Type type = Type::u32;
  uint32_t default_word = 0;
  std::string_view choices = {};
};

// An instruction as the verifier hands it to the ops: ids resolved, attribute words complete (defaults filled in).
struct Instruction {
  const struct Op* op = nullptr;
  std::vector<uint16_t> inputs;        // value ids
  std::vector<const Tensor*> tensors;  // one for each role; null where the file says none
  std::vector<uint32_t> words;         // one for each attribute
  std::vector<ValueType> input_types;  // one for each input
  ValueType type;                      // of the value that it defines: filled in from Op::check

  float f32(size_t attribute) const;
};

// Zeros where the program takes no texts, or no images.
struct ProgramLimits {
  uint32_t vocabulary = 0;
  uint32_t max_tokens = 0;
  uint32_t image_height = 0, image_width = 0;
  uint32_t window = 0;  // the least of attention over texts; 0 where all of them see all rows
  uint32_t types = 0;   // token types run from 0 to types − 1; 0 where no table has a row for each
};

struct Op {
  uint16_t id;
  std::string_view name;
  uint8_t min_inputs, max_inputs;
  std::span<const std::string_view> tensor_roles;
  std::span<const Attribute> attributes;

  // Checks kinds, widths, layouts, tensor shapes and attribute values, and returns the type of the value defined.
  // Throws FormatError saying what is wrong; the verifier adds which instruction. Words are already known to be valid
  // choices and finite.
  ValueType (*check)(const Instruction&, const ProgramLimits&);

  // Multiply-adds, or comparisons, for one row (of the defined value) in an image, or in a text of `max_tokens` rows;
  // the verifier caps the sum over the program.
  uint64_t (*work)(const Instruction&, const ProgramLimits&) = [](const Instruction&, const ProgramLimits&) {
    return uint64_t{0};
  };

  // True when row r of the result needs nothing but row r of the inputs (and r's own id and position).
  bool row_wise = false;

  // The bits, 8 or 16, of the quantised rows as which this instruction reads its first input; 0 where it reads floats.
  uint32_t (*quantised_bits)(const Instruction&) = [](const Instruction&) { return uint32_t{0}; };

  // True when this instruction can compute its first input from `producer`'s inputs itself, piece by piece, so that the
  // whole of it never lies in memory.
  bool (*absorbs)(const Instruction&, const Instruction& producer) = [](const Instruction&, const Instruction&) {
    return false;
  };

  // Bytes of scratch that run() wants for `rows` rows, in segments of at most `longest` rows. `producer`: the one that
  // it has absorbed, or null.
  size_t (*scratch)(const Kernels&, const Instruction&, const Instruction* producer, size_t rows, size_t longest) =
      [](const Kernels&, const Instruction&, const Instruction*, size_t, size_t) { return size_t{0}; };

  void (*run)(const struct RunContext&, const Instruction&) = nullptr;
};

// All ops in order of id, from ops.inc.
std::span<const Op* const> all_ops();
const Op* find_op(uint16_t id);

}  // namespace embedrt
