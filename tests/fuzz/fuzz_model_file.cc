// A model file, taken all the way: read, verify, list, run. Whatever the bytes are, the result is an Error or a defined
// answer: the same bits on every instruction set, alone and in a batch.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "isa/dispatch.h"
#include "program/listing.h"
#include "program/model.h"
#include "program_mutator.h"

using namespace embedrt;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

// How far the inputs came, printed at the end: a fuzzer that never gets behind the parser tests little.
struct Progress {
  size_t tried = 0, loaded = 0, ran = 0, finite = 0, finite_images = 0;

  ~Progress() {
    std::fprintf(stderr, "files tried %zu, loaded %zu, ran %zu; finite results %zu, of images %zu\n", tried, loaded,
                 ran, finite, finite_images);
  }
} progress;

// Programs may ask for more than is sensible to wait for here: seconds an item, gigabytes a block.
constexpr uint64_t kMostWork = uint64_t{1} << 22;
constexpr uint64_t kMostPixels = uint64_t{1} << 16;
constexpr uint64_t kMostBytes = uint64_t{1} << 25;

[[noreturn]] void broken(const char* rule) {
  std::fprintf(stderr, "broken: %s\n", rule);
  std::abort();
}

// The items of a call: texts, or images.
struct Items {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets{0};
  std::optional<std::vector<int32_t>> types;
  std::optional<std::vector<std::array<int64_t, 2>>> spans;
  std::vector<uint8_t> pixels;
  size_t images = 0;

  size_t count() const { return images > 0 ? images : offsets.size() - 1; }
  TextCall call() const { return {.ids = ids, .offsets = offsets, .types = types, .spans = spans}; }
};

// Empty texts, short ones, and one of the program's longest length or so: sometimes longer than a block of texts.
Items ragged(const ProgramLimits& limits, size_t choice) {
  const uint32_t most = choice % 8 == 3 ? 300 : 21;
  Items texts;
  if (limits.vocabulary == 0) return texts;
  for (const uint32_t length : {0u, 1u, 3u, std::min(limits.max_tokens, most), 0u, 2u}) {
    for (uint32_t i = 0; i < std::min(length, limits.max_tokens); ++i) {
      texts.ids.push_back(static_cast<int32_t>((texts.ids.size() * 7 + i) % limits.vocabulary));
    }
    texts.offsets.push_back(static_cast<int64_t>(texts.ids.size()));
  }
  if (!texts.ids.empty()) texts.ids.back() = static_cast<int32_t>(limits.vocabulary - 1);
  if (limits.types > 0) {
    texts.types.emplace();
    for (size_t i = 0; i < texts.ids.size(); ++i)
      texts.types->push_back(static_cast<int32_t>((i * i + choice) % limits.types));
  }
  return texts;
}

// Of every text that has tokens the whole and then `more` spans, one of which ends with the text.
Items with_spans(Items texts, size_t more) {
  texts.spans.emplace();
  for (size_t text = 0; text + 1 < texts.offsets.size(); ++text) {
    const int64_t first = texts.offsets[text], last = texts.offsets[text + 1];
    if (first == last) continue;
    texts.spans->push_back({first, last});
    for (size_t i = 0; i < more; ++i) texts.spans->push_back({first + static_cast<int64_t>(i) % (last - first), last});
  }
  return texts;
}

// A white image, a black one, and others, of all bytes.
Items pictures(const ProgramLimits& limits, size_t choice) {
  Items images;
  images.images = 1 + choice % 4;
  const size_t bytes = size_t{limits.image_height} * limits.image_width * 3;
  for (size_t i = 0; i < images.images; ++i)
    for (size_t at = 0; at < bytes; ++at)
      images.pixels.push_back(i == 1   ? uint8_t{255}
                              : i == 3 ? uint8_t{0}
                                       : static_cast<uint8_t>(at * (31 + 2 * i) + at / 97 + choice));
  return images;
}

struct Result {
  std::vector<float> rows;
  std::string error;
};

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(std::as_bytes(a), std::as_bytes(b));
}

Result run(const Model& model, const Items& items, const std::string& output) {
  const ValueType type = model.output_type(output);
  const size_t rows = type.image ? items.images * type.item_rows() : items.call().rows(type);
  Result result;
  result.rows.resize(rows * type.columns);
  const auto never = [] { return false; };
  try {
    if (type.image) {
      model.run_images(items.pixels.data(), items.images, output, result.rows.data(), never);
    } else {
      model.run(items.call(), {{output, result.rows.data()}}, never);
    }
  } catch (const InputError&) {
    broken("good input was refused");
  } catch (const Error& error) {
    result.rows.clear();
    result.error = error.what();
  }
  return result;
}

void explain(const Model& model, const std::string& output, const Result& a, const Result& b) {
  std::fprintf(stderr, "%s\n%s: \"%s\" and \"%s\"\n", listing(model.program()).c_str(), output.c_str(), a.error.c_str(),
               b.error.c_str());
  const ValueType type = model.output_type(output);
  for (size_t i = 0, shown = 0; i < std::min(a.rows.size(), b.rows.size()) && shown < 5; ++i) {
    if (same_bits({&a.rows[i], 1}, {&b.rows[i], 1})) continue;
    ++shown;
    std::fprintf(stderr, "row %zu, column %zu: %a and %a\n", i / type.columns, i % type.columns,
                 static_cast<double>(a.rows[i]), static_cast<double>(b.rows[i]));
  }
}

// Item i alone gives the rows that it has in `together`.
void check_alone(const Model& model, const Items& items, size_t i, const std::string& output, const Result& together) {
  const ValueType type = model.output_type(output);
  Items one;
  size_t first = i;
  if (type.image) {
    const size_t bytes = items.pixels.size() / items.images;
    one.images = 1;
    one.pixels.assign(items.pixels.begin() + static_cast<std::ptrdiff_t>(i * bytes),
                      items.pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * bytes));
    first *= type.item_rows();
  } else {
    one.ids.assign(items.ids.begin() + items.offsets[i], items.ids.begin() + items.offsets[i + 1]);
    if (items.types)
      one.types.emplace(items.types->begin() + items.offsets[i], items.types->begin() + items.offsets[i + 1]);
    one.offsets.push_back(static_cast<int64_t>(one.ids.size()));
    if (type.kind == ValueKind::rows) first = static_cast<size_t>(items.offsets[i]);
  }
  const Result alone = run(model, one, output);
  const auto rows = std::span(together.rows).subspan(first * type.columns, alone.rows.size());
  if (!alone.error.empty() || !same_bits(alone.rows, rows)) {
    explain(model, output, alone, {{rows.begin(), rows.end()}, {}});
    broken("an item alone gives other bits than in a batch");
  }
}

// All outputs of texts in one pass, beside each alone; and spans of whole texts beside texts.
void check_together(const Model& model, const Items& texts, size_t choice) {
  std::vector<Result> alone, together;
  std::vector<Target> targets;
  for (const Output& output : model.program().outputs) {
    const ValueType type = model.output_type(output.name);
    if (type.image) continue;
    alone.push_back(run(model, texts, output.name));
    if (!alone.back().error.empty()) return;
    together.emplace_back().rows.resize(alone.back().rows.size());
    targets.push_back({output.name, together.back().rows.data()});
    const size_t more = choice % 50;
    const Result spans = run(model, with_spans(texts, more), output.name);
    size_t row = 0;
    for (size_t text = 0; type.kind == ValueKind::segments && text < texts.count(); ++text) {
      if (texts.offsets[text] == texts.offsets[text + 1]) continue;
      if (spans.error.empty() && !same_bits(std::span(spans.rows).subspan(row * type.columns, type.columns),
                                            std::span(alone.back().rows).subspan(text * type.columns, type.columns)))
        broken("a span of all of a text gives other bits than the text");
      row += 1 + more;
    }
  }
  if (targets.empty()) return;
  model.run(texts.call(), targets, [] { return false; });
  for (size_t i = 0; i < alone.size(); ++i)
    if (!same_bits(alone[i].rows, together[i].rows)) broken("outputs in one pass have other bits than one by one");
}

void compare(const std::shared_ptr<const MappedFile>& source, const Model& scalar, const Kernels& kernels,
             size_t choice) {
  const Model other(source, static_cast<unsigned>(1 + choice % 3), kernels);
  const ProgramLimits& limits = scalar.program().limits;
  const Items texts = ragged(limits, choice), images = pictures(limits, choice);
  for (const Output& output : scalar.program().outputs) {
    const bool image = scalar.output_type(output.name).image;
    const Items& items = image ? images : texts;
    const Result result = run(other, items, output.name);
    const Result expected = run(scalar, items, output.name);
    // Of several items that are not finite, the one that a thread comes to first is named.
    const bool same_error =
        other.threads() > 1 ? result.error.empty() == expected.error.empty() : result.error == expected.error;
    if (!same_error || !same_bits(result.rows, expected.rows)) {
      explain(scalar, output.name, result, expected);
      broken((std::string(kernels.name) + " gives other bits than scalar").c_str());
    }
    if (!result.error.empty()) continue;
    ++progress.finite;
    progress.finite_images += image;
    check_alone(other, items, choice % items.count(), output.name, result);
  }
  check_together(other, texts, choice);
}

// One instruction set for each input, for speed; all of them when inputs that were found before are tried again.
void compare_some(const std::shared_ptr<const MappedFile>& source, const Model& scalar, size_t choice) {
  static const std::vector<std::string> isas = available_isas();
  static const bool every = std::getenv("FUZZ_EVERY_ISA") != nullptr;
  for (size_t i = 0; i < isas.size(); ++i) {
    if (every || i == choice % isas.size()) compare(source, scalar, *kernels_of(isas[i]), choice);
  }
}

// The program is small enough to run here on all the items.
bool bearable(const Program& program, size_t choice) {
  const ProgramLimits& limits = program.limits;
  const uint64_t tokens = ragged(limits, choice).ids.size() + 6;
  return work_per_token(program) * tokens <= kMostWork && work_per_image(program) * 4 <= kMostWork &&
         uint64_t{limits.image_height} * limits.image_width <= kMostPixels &&
         value_bytes(program, 256, 256) <= kMostBytes;
}

void check_refusals(const Model& model) {
  const std::string& output = model.program().outputs[0].name;
  const auto refused = [&](const std::vector<int32_t>& ids, const std::vector<int64_t>& offsets) {
    std::vector<float> out(1);  // nothing is written
    const auto never = [] { return false; };
    try {
      model.run({.ids = ids, .offsets = offsets}, {{output, out.data()}}, never);
    } catch (const InputError&) {
      return;
    }
    broken("bad input was taken");
  };
  if (model.output_type(output).image) return refused({}, {0});
  refused({-1}, {0, 1});
  refused({static_cast<int32_t>(model.program().limits.vocabulary)}, {0, 1});
  refused({0, 0}, {0, 1});
  refused({0, 0}, {0, 3, 2});
  const std::vector<int32_t> ids = {0};
  const std::vector<int64_t> offsets = {0, 1};
  std::vector<float> out(1);
  for (const std::array<int64_t, 2> span : {std::array<int64_t, 2>{0, 2}, {1, 1}, {-1, 1}}) {
    const std::vector spans = {span};
    try {
      model.run({.ids = ids, .offsets = offsets, .spans = spans}, {{output, out.data()}}, [] { return false; });
      broken("a bad span was taken");
    } catch (const InputError&) {
      // As it should be.
    }
  }
  refused({}, {});
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  const auto file = std::as_bytes(std::span(data, size));
  const test::Bytes changed = fuzz::mutate_file(file, max_size, seed, LLVMFuzzerMutate);
  if (changed.size() > max_size) return size;
  std::memcpy(data, changed.data(), changed.size());
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ++progress.tried;
  const auto source = MappedFile::copy(std::as_bytes(std::span(data, size)));
  try {
    const Model model(source, 1, *kernels_of("scalar"));
    ++progress.loaded;
    model.file().fingerprint(kNumericsRevision);
    listing(model.program());
    const size_t choice = size == 0 ? 0 : data[size / 2] + size;
    if (bearable(model.program(), choice)) {
      ++progress.ran;
      compare_some(source, model, choice);
      if (choice % 16 == 0) check_refusals(model);
    }
    model.file().verify_bulk();
  } catch (const FormatError&) {
    // The one answer to a bad file.
  }
  return 0;
}
