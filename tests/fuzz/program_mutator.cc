#include "program_mutator.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>

#include "program/limits.h"
#include "random_program.h"

namespace embedrt::fuzz {
namespace {

using test::InstructionText;
using test::OpText;
using test::ProgramMaker;
using test::TensorText;

size_t below(Random& random, size_t bound) {
  return bound == 0 ? 0 : random() % bound;
}
bool chance(Random& random, unsigned one_in) {
  return random() % one_in == 0;
}

// A cursor that notes running over the end instead of throwing.
struct Cursor {
  std::span<const std::byte> bytes;
  size_t at = 0;
  bool good = true;

  template <class T>
  T number() {
    T value{};
    if (bytes.size() - at < sizeof value) {
      good = false;
      return value;
    }
    std::memcpy(&value, bytes.data() + at, sizeof value);
    at += sizeof value;
    return value;
  }

  std::string name() {
    const size_t size = number<uint8_t>();
    if (bytes.size() - at < size) good = false;
    if (!good) return {};
    at += size;
    return {reinterpret_cast<const char*>(bytes.data()) + at - size, size};
  }
};

// The sections of a file as its table gives them, as far as they are inside it.
std::map<uint32_t, Bytes> split(std::span<const std::byte> file) {
  std::map<uint32_t, Bytes> sections;
  Cursor header{file, 24};
  const uint32_t count = file.size() < 64 ? 0 : std::min(header.number<uint32_t>(), kMaxSections);
  Cursor table{file, std::min<size_t>(64, file.size())};
  for (uint32_t i = 0; i < count && table.good; ++i) {
    const auto kind = table.number<uint32_t>();
    table.number<uint32_t>();
    const auto offset = table.number<uint64_t>(), size = table.number<uint64_t>();
    table.number<uint64_t>();
    if (!table.good || offset > file.size() || size > file.size() - offset) continue;
    const auto content = file.subspan(offset, size);
    sections[kind] = Bytes(content.begin(), content.end());
  }
  return sections;
}

void mutate_raw(Bytes& bytes, size_t room, ByteMutator mutate_bytes) {
  const size_t size = bytes.size();
  bytes.resize(size + room);
  bytes.resize(mutate_bytes(reinterpret_cast<uint8_t*>(bytes.data()), size, bytes.size()));
}

uint32_t odd_number(Random& random) {
  constexpr uint32_t numbers[] = {0,          1,          2,          3,         4,        15,         16,
                                  17,         31,         64,         255,       256,      65535,      65536,
                                  65537,      1u << 20,   1u << 24,   ~0u,       1u << 31, 0x7f800000, 0x7fc00000,
                                  0x3f800000, 0x00000001, 0x7f7fffff, 0xff7fffff};
  return chance(random, 3) ? static_cast<uint32_t>(random()) : numbers[below(random, std::size(numbers))];
}

// A word that differs a little, so that a shape may go with another one.
template <class T>
void change(T& value, Random& random) {
  switch (below(random, 4)) {
    case 0:
      value = static_cast<T>(value + 1);
      break;
    case 1:
      value = static_cast<T>(value - 1);
      break;
    case 2:
      value = static_cast<T>(value ^ T{1} << below(random, 8 * sizeof(T)));
      break;
    default:
      value = static_cast<T>(odd_number(random));
  }
}

// What the reader would refuse at once is made right again, most of the time.
void fit(TensorText& tensor, size_t bulk, Random& random) {
  if (chance(random, 50)) return;
  if (tensor.rows <= kMaxTensorExtent && tensor.columns <= kMaxTensorExtent) {
    tensor.size = layout_bytes(static_cast<Layout>(tensor.layout), tensor.rows, tensor.columns);
  }
  if (tensor.size <= bulk && tensor.offset > bulk - tensor.size) tensor.offset = below(random, bulk - tensor.size + 1);
  tensor.offset = tensor.offset / 64 * 64;
}

void mutate_tensor(ProgramMaker& p, Random& random) {
  if (p.tensors.empty() || chance(random, 10)) {
    p.tensors.push_back({static_cast<uint32_t>(1 + below(random, 6)), 1, 16, 0, 0, "new"});
  }
  TensorText& tensor = p.tensors[below(random, p.tensors.size())];
  switch (below(random, 5)) {
    case 0:
      change(tensor.rows, random);
      break;
    case 1:
      change(tensor.columns, random);
      break;
    case 2:
      tensor.layout = static_cast<uint32_t>(below(random, 8));
      break;
    case 3:
      tensor.offset = below(random, p.bulk.size() + 1) / 64 * 64;
      break;
    default:
      tensor = p.tensors[below(random, p.tensors.size())];
  }
  fit(tensor, p.bulk.size(), random);
}

void shift_values(ProgramMaker& p, size_t from, int by) {
  const auto shift = [&](uint16_t& value) {
    if (value > from) value = static_cast<uint16_t>(value + by);
  };
  for (InstructionText& instruction : p.instructions)
    std::for_each(instruction.inputs.begin(), instruction.inputs.end(), shift);
  for (auto& [name, value] : p.outputs) shift(value);
}

// Another instruction in front of `at`, a copy of one that is there. Something reads its value instead of what it did.
void insert_instruction(ProgramMaker& p, size_t at, Random& random) {
  const InstructionText copy = p.instructions[below(random, p.instructions.size())];
  shift_values(p, at, 1);
  p.instructions.insert(p.instructions.begin() + static_cast<std::ptrdiff_t>(at), copy);
  if (!copy.inputs.empty()) p.instructions[at].inputs[0] = static_cast<uint16_t>(copy.inputs[0] == 0 ? 0 : at);
  const auto value = static_cast<uint16_t>(at + 1);
  for (size_t reader = at + 1; reader < p.instructions.size(); ++reader) {
    auto& inputs = p.instructions[reader].inputs;
    if (inputs.empty() || chance(random, 3)) continue;
    inputs[below(random, inputs.size())] = value;
    return;
  }
  if (!p.outputs.empty()) p.outputs[below(random, p.outputs.size())].second = value;
}

// What read the value of `at` reads the input of `at` instead.
void erase_instruction(ProgramMaker& p, size_t at) {
  const InstructionText erased = p.instructions[at];
  const auto bypass = [&](uint16_t& value) {
    if (value == at + 1 && !erased.inputs.empty()) value = erased.inputs[0];
  };
  for (InstructionText& instruction : p.instructions)
    std::for_each(instruction.inputs.begin(), instruction.inputs.end(), bypass);
  for (auto& [name, value] : p.outputs) bypass(value);
  p.instructions.erase(p.instructions.begin() + static_cast<std::ptrdiff_t>(at));
  shift_values(p, at + 1, -1);
}

void mutate_instruction(ProgramMaker& p, Random& random) {
  if (p.instructions.empty()) return;
  const size_t at = below(random, p.instructions.size());
  InstructionText& instruction = p.instructions[at];
  switch (below(random, 8)) {
    case 0:
      if (p.instructions.size() < 60) insert_instruction(p, at, random);
      break;
    case 1:
      if (p.instructions.size() > 1) erase_instruction(p, at);
      break;
    case 2:
      std::swap(instruction, p.instructions[below(random, p.instructions.size())]);
      break;
    case 3:
      if (!instruction.inputs.empty()) {
        instruction.inputs[below(random, instruction.inputs.size())] =
            static_cast<uint16_t>(below(random, at + 1 + chance(random, 20)));
      }
      break;
    case 4:
      if (chance(random, 2)) {
        instruction.inputs.push_back(static_cast<uint16_t>(below(random, at + 1)));
      } else if (!instruction.inputs.empty()) {
        instruction.inputs.pop_back();
      }
      break;
    case 5:
      if (!instruction.tensors.empty()) {
        uint16_t& tensor = instruction.tensors[below(random, instruction.tensors.size())];
        tensor = chance(random, 4) ? format::kNoTensor : static_cast<uint16_t>(below(random, p.tensors.size() + 1));
      }
      break;
    case 6:
      if (!instruction.words.empty()) {
        instruction.words[below(random, instruction.words.size())] = static_cast<uint32_t>(below(random, 12));
      }
      break;
    default:
      if (!instruction.words.empty()) change(instruction.words[below(random, instruction.words.size())], random);
  }
}

constexpr const char* kOutputs[] = {"token_embeddings", "sentence_embedding", "image_embedding", "class_token",
                                    "patch_mean",       "patch_embeddings",   "logits"};

void mutate_rest(ProgramMaker& p, Random& random) {
  switch (below(random, 7)) {
    case 0:
      change(p.vocabulary, random);
      break;
    case 1:
      change(p.max_tokens, random);
      break;
    case 2:
      if (!p.outputs.empty()) {
        p.outputs[below(random, p.outputs.size())].second =
            static_cast<uint16_t>(below(random, p.instructions.size() + 2));
      }
      break;
    case 3:
      if (p.outputs.size() > 1) {
        p.outputs.pop_back();
      } else {
        p.outputs.emplace_back(kOutputs[below(random, std::size(kOutputs))],
                               static_cast<uint16_t>(below(random, p.instructions.size() + 1)));
      }
      break;
    case 4:
      change(p.image[below(random, 2)], random);
      break;
    case 5:
      p.image = {static_cast<uint32_t>(below(random, 70)), static_cast<uint32_t>(below(random, 70))};
      break;
    default: {
      if (p.directory.empty()) return;
      OpText& op = p.directory[below(random, p.directory.size())];
      if (op.attributes.empty()) return;
      const size_t gone = below(random, op.attributes.size());
      op.attributes.erase(op.attributes.begin() + static_cast<std::ptrdiff_t>(gone));
      for (InstructionText& instruction : p.instructions) {
        if (instruction.op == op.id && gone < instruction.words.size()) {
          instruction.words.erase(instruction.words.begin() + static_cast<std::ptrdiff_t>(gone));
        }
      }
    }
  }
}

// A directory that lists an op that nothing uses any more is refused: it goes too, most of the time.
void tidy_directory(ProgramMaker& p, Random& random) {
  if (chance(random, 50)) return;
  std::erase_if(p.directory, [&](const OpText& op) {
    return std::none_of(p.instructions.begin(), p.instructions.end(),
                        [&](const InstructionText& i) { return i.op == op.id; });
  });
}

// Floats and scales that are extreme but stand in the file's ranges: large, tiny, −128, zero.
void mutate_bulk(Bytes& bulk, Random& random) {
  if (bulk.size() < 64) return;
  const size_t begin = below(random, bulk.size() / 4) * 4,
               length = std::min(bulk.size() - begin, 4 + 4 * below(random, 64));
  const uint32_t word = chance(random, 2) ? odd_number(random) : 0x80808080u;
  for (size_t i = 0; i + 4 <= length; i += 4) std::memcpy(bulk.data() + begin + i, &word, 4);
}

}  // namespace

bool parse_program(std::span<const std::byte> section, ProgramMaker& program) {
  Cursor in{section};
  const auto ops = in.number<uint32_t>(), tensors = in.number<uint32_t>(), instructions = in.number<uint32_t>(),
             outputs = in.number<uint32_t>();
  program.vocabulary = in.number<uint32_t>();
  program.max_tokens = in.number<uint32_t>();
  program.image = {in.number<uint32_t>(), in.number<uint32_t>()};
  std::map<uint16_t, size_t> words;
  for (uint32_t i = 0; i < ops && in.good; ++i) {
    OpText op;
    op.id = in.number<uint16_t>();
    const size_t attributes = in.number<uint8_t>();
    op.name = in.name();
    for (size_t a = 0; a < attributes && in.good; ++a) op.attributes.push_back(in.name());
    words[op.id] = attributes;
    program.directory.push_back(std::move(op));
  }
  for (uint32_t i = 0; i < tensors && in.good; ++i) {
    TensorText tensor;
    tensor.layout = in.number<uint8_t>();
    tensor.rows = in.number<uint32_t>();
    tensor.columns = in.number<uint32_t>();
    tensor.offset = in.number<uint64_t>();
    tensor.size = in.number<uint64_t>();
    tensor.name = in.name();
    program.tensors.push_back(std::move(tensor));
  }
  for (uint32_t i = 0; i < instructions && in.good; ++i) {
    InstructionText instruction;
    instruction.op = in.number<uint16_t>();
    const size_t inputs = in.number<uint8_t>(), roles = in.number<uint8_t>();
    for (size_t j = 0; j < inputs && in.good; ++j) instruction.inputs.push_back(in.number<uint16_t>());
    for (size_t j = 0; j < roles && in.good; ++j) instruction.tensors.push_back(in.number<uint16_t>());
    for (size_t j = 0; j < words[instruction.op] && in.good; ++j) instruction.words.push_back(in.number<uint32_t>());
    program.instructions.push_back(std::move(instruction));
  }
  for (uint32_t i = 0; i < outputs && in.good; ++i) {
    std::string name = in.name();
    program.outputs.emplace_back(std::move(name), in.number<uint16_t>());
  }
  return in.good;
}

void mutate_records(ProgramMaker& program, Random& random) {
  do {
    switch (below(random, 5)) {
      case 0:
      case 1:
        mutate_tensor(program, random);
        break;
      case 2:
      case 3:
        mutate_instruction(program, random);
        break;
      default:
        mutate_rest(program, random);
    }
  } while (chance(random, 3));
  tidy_directory(program, random);
}

Bytes mutate_file(std::span<const std::byte> file, size_t max_size, uint32_t seed, ByteMutator mutate_bytes) {
  Random random(seed);
  std::map<uint32_t, Bytes> sections = split(file);
  const size_t room = file.size() < max_size ? std::min<size_t>(max_size - file.size(), 256) : 0;
  const size_t way = below(random, 20);
  if (sections.empty() || way == 0) {  // the container itself, with and without a right checksum
    Bytes changed(file.begin(), file.end());
    const size_t head = std::min<size_t>(file.size(), 64 + 8 * 32);
    Bytes front(changed.begin(), changed.begin() + static_cast<std::ptrdiff_t>(head));
    mutate_raw(front, 0, mutate_bytes);
    std::copy_n(front.begin(), std::min(front.size(), head), changed.begin());
    if (chance(random, 8)) mutate_raw(changed, room, mutate_bytes);
    if (changed.size() >= 64 && chance(random, 2)) test::put(changed, 16, uint64_t{changed.size()});
    if (changed.size() >= 64 && !chance(random, 8)) test::repair_header(changed);
    return changed;
  }
  Bytes& program = sections[static_cast<uint32_t>(format::SectionKind::program)];
  Bytes& bulk = sections[static_cast<uint32_t>(format::SectionKind::tensors)];
  if (way == 1) {
    auto other = sections.begin();
    std::advance(other, static_cast<std::ptrdiff_t>(below(random, sections.size())));
    mutate_raw(other->second, room, mutate_bytes);
  } else if (way <= 3) {
    mutate_raw(program, room, mutate_bytes);
  } else if (way <= 5) {
    mutate_raw(bulk, room, mutate_bytes);
  } else if (way <= 7) {
    mutate_bulk(bulk, random);
  } else if (way == 8) {
    ProgramMaker fresh = chance(random, 3) ? random_program(random) : random_image_program(random);
    if (chance(random, 4)) mutate_records(fresh, random);
    program = fresh.section();
    bulk = fresh.bulk;
  } else {
    ProgramMaker records;
    const bool parsed = parse_program(program, records);
    records.bulk = bulk;
    if (parsed) {
      mutate_records(records, random);
      program = records.section();
    } else {
      mutate_raw(program, room, mutate_bytes);
    }
  }
  return test::make_file(sections);
}

}  // namespace embedrt::fuzz
