// embedrt-run: what a model file is, and its vectors of token ids or pixels. It knows of models what the C library
// says.
#include <embedrt.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/program_files.h"

namespace {

constexpr char kUsage[] =
    "usage: embedrt-run MODEL [--threads N]\n"
    "       embedrt-run MODEL --ids FILE|- [--types FILE] [--output NAME] [--threads N] [-o VECTORS]\n"
    "       embedrt-run MODEL --images FILE [--output NAME] [--threads N] [-o VECTORS]\n"
    "Without --ids and --images it prints what the model is.\n"
    "--ids, --types  a line for each text, of decimal numbers\n"
    "--images        raw pixels, uint8 [n, height, width, 3]\n"
    "-o              float32, row after row; otherwise a row is a line of decimal numbers\n";

struct UsageError {};

struct Arguments {
  std::string model, ids, types, images, output, vectors;
  uint32_t threads = 0;
};

using Model = std::unique_ptr<embedrt_model, decltype(&embedrt_close)>;
using File = std::unique_ptr<FILE, decltype(&std::fclose)>;

template <class T>
T number(std::string_view text, const std::string& where) {
  T value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size())
    throw std::runtime_error(where + ": \"" + std::string(text) + "\" is not a number that fits");
  return value;
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string_view word = words[i];
    std::string threads;
    std::string* value = word == "--ids"       ? &arguments.ids
                         : word == "--types"   ? &arguments.types
                         : word == "--images"  ? &arguments.images
                         : word == "--output"  ? &arguments.output
                         : word == "--threads" ? &threads
                         : word == "-o"        ? &arguments.vectors
                                               : nullptr;
    if (value == nullptr) {
      if (word.starts_with('-') || !arguments.model.empty()) throw UsageError{};
      arguments.model = word;
      continue;
    }
    if (++i == words.size()) throw UsageError{};
    *value = words[i];
    if (!threads.empty()) arguments.threads = number<uint32_t>(threads, "--threads");
  }
  if (arguments.model.empty() || (!arguments.ids.empty() && !arguments.images.empty())) throw UsageError{};
  if (!arguments.types.empty() && arguments.ids.empty()) throw UsageError{};
  return arguments;
}

void check(embedrt_status status, const embedrt_error& error) {
  if (status != EMBEDRT_OK) throw std::runtime_error(error.message);
}

File open(const std::string& path, const char* mode) {
  File file(embedrt::open_file(path, mode), &std::fclose);
  if (!file) throw std::runtime_error(path + ": " + std::strerror(errno));
  return file;
}

std::vector<char> read(const std::string& path) {
  const File file = path == "-" ? File(stdin, [](FILE*) { return 0; }) : open(path, "rb");
  std::vector<char> content;
  for (size_t got = 1; got > 0;) {
    const size_t done = content.size();
    content.resize(done + (size_t{1} << 16));
    got = std::fread(content.data() + done, 1, size_t{1} << 16, file.get());
    content.resize(done + got);
  }
  if (std::ferror(file.get())) throw std::runtime_error(path + ": cannot be read");
  return content;
}

// Numbers of all lines, and where each line's begin.
struct Lines {
  std::vector<int32_t> numbers;
  std::vector<int64_t> offsets{0};
};

Lines read_lines(const std::string& path) {
  const std::vector<char> content = read(path);
  std::string_view rest(content.data(), content.size());
  Lines lines;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::string where = path + ", line " + std::to_string(lines.offsets.size());
    constexpr std::string_view kSpace = " \t\r";
    for (size_t at = line.find_first_not_of(kSpace); at != line.npos; at = line.find_first_not_of(kSpace)) {
      line.remove_prefix(at);
      const size_t length = std::min(line.find_first_of(kSpace), line.size());
      lines.numbers.push_back(number<int32_t>(line.substr(0, length), where));
      line.remove_prefix(length);
    }
    lines.offsets.push_back(static_cast<int64_t>(lines.numbers.size()));
  }
  return lines;
}

embedrt_info info_of(const embedrt_model* model) {
  embedrt_info info{};
  info.size = sizeof info;
  embedrt_error error;
  check(embedrt_get_info(model, &info, &error), error);
  return info;
}

void describe(const embedrt_model* model) {
  embedrt_error error;
  const embedrt_info info = info_of(model);
  const char* isa = nullptr;
  check(embedrt_isa(&isa, &error), error);
  std::printf("embedrt %s, numerics revision %u\ninstruction set %s of", embedrt_version(), embedrt_numerics_revision(),
              isa);
  for (size_t i = 0; const char* name = embedrt_available_isa(i); ++i) std::printf(" %s", name);
  std::printf("\nthreads %u\nfingerprint %s\n", info.threads, info.fingerprint);
  if (info.vocabulary > 0)
    std::printf("texts of %u tokens, vocabulary %u, token types %u\n", info.max_tokens, info.vocabulary,
                info.token_types);
  if (info.image_height > 0) std::printf("images of %u x %u x 3\n", info.image_height, info.image_width);
  for (size_t i = 0; i < info.outputs; ++i) {
    embedrt_output output{};
    output.size = sizeof output;
    check(embedrt_get_output(model, i, &output, &error), error);
    constexpr const char* kRows[] = {"", "row per text", "row per token", "row per image", "rows of image"};
    std::printf("output %s: %u columns, %s", output.name, output.columns, kRows[output.rows]);
    if (output.rows == EMBEDRT_ROWS_OF_IMAGE)
      std::printf(" %u + %u x %u", output.prefix_rows, output.grid_height, output.grid_width);
    std::printf("%s\n", output.unit_length ? ", of length 1" : "");
  }
}

struct Rows {
  std::vector<float> values;
  size_t columns = 0;
};

// Room for the rows of an output; `name` null: of `main`.
Rows room(const embedrt_model* model, const char* name, const char* main, size_t texts, size_t tokens, size_t images) {
  if (name == nullptr && main == nullptr) throw std::runtime_error("the model has no main output for this: --output");
  embedrt_output output{};
  output.size = sizeof output;
  embedrt_error error;
  check(embedrt_find_output(model, name != nullptr ? name : main, &output, &error), error);
  const size_t rows = output.rows == EMBEDRT_ROW_PER_TEXT    ? texts
                      : output.rows == EMBEDRT_ROW_PER_TOKEN ? tokens
                                                             : images * output.image_rows;
  return {std::vector<float>(rows * output.columns), output.columns};
}

Rows run_texts(const embedrt_model* model, const Arguments& arguments, const char* output) {
  const embedrt_info info = info_of(model);
  if (info.vocabulary == 0) throw std::runtime_error("the model takes no texts");
  const Lines ids = read_lines(arguments.ids);
  embedrt_texts texts{};
  texts.size = sizeof texts;
  texts.count = ids.offsets.size() - 1;
  texts.ids = ids.numbers.data();
  texts.offsets = ids.offsets.data();
  Lines types;
  if (!arguments.types.empty()) {
    types = read_lines(arguments.types);
    if (types.offsets != ids.offsets)
      throw std::runtime_error(arguments.types + ": its lines are not as long as those of " + arguments.ids);
    texts.types = types.numbers.data();
  }
  Rows rows = room(model, output, info.text_output, texts.count, ids.numbers.size(), 0);
  const embedrt_target target{output, rows.values.data(), rows.values.size()};
  embedrt_error error;
  check(embedrt_run_texts(model, &texts, &target, 1, &error), error);
  return rows;
}

Rows run_images(const embedrt_model* model, const Arguments& arguments, const char* output) {
  const embedrt_info info = info_of(model);
  if (info.image_height == 0) throw std::runtime_error("the model takes no images");
  const std::vector<char> pixels = read(arguments.images);
  const size_t image = size_t{info.image_height} * info.image_width * info.image_channels;
  if (pixels.size() % image != 0)
    throw std::runtime_error(arguments.images + ": " + std::to_string(pixels.size()) +
                             " bytes, not a multiple of the " + std::to_string(image) + " of an image");
  embedrt_images images{};
  images.size = sizeof images;
  images.count = pixels.size() / image;
  images.pixels = reinterpret_cast<const uint8_t*>(pixels.data());
  Rows rows = room(model, output, info.image_output, 0, 0, images.count);
  const embedrt_target target{output, rows.values.data(), rows.values.size()};
  embedrt_error error;
  check(embedrt_run_images(model, &images, &target, &error), error);
  return rows;
}

void print(const Rows& rows, FILE* file) {
  for (size_t i = 0; i < rows.values.size(); ++i)
    std::fprintf(file, "%.9g%c", static_cast<double>(rows.values[i]), (i + 1) % rows.columns == 0 ? '\n' : ' ');
}

void run(const Arguments& arguments) {
  embedrt_options options{};
  options.size = sizeof options;
  options.threads = arguments.threads;
  embedrt_error error;
  embedrt_model* opened = nullptr;
  check(embedrt_open(arguments.model.c_str(), &options, &opened, &error), error);
  const Model model(opened, &embedrt_close);
  const char* output = arguments.output.empty() ? nullptr : arguments.output.c_str();
  if (arguments.ids.empty() && arguments.images.empty()) {
    describe(model.get());
  } else {
    const Rows rows =
        arguments.ids.empty() ? run_images(model.get(), arguments, output) : run_texts(model.get(), arguments, output);
    if (arguments.vectors.empty()) {
      print(rows, stdout);
    } else {
      File file = open(arguments.vectors, "wb");
      const bool written =
          std::fwrite(rows.values.data(), sizeof(float), rows.values.size(), file.get()) == rows.values.size();
      if (std::fclose(file.release()) != 0 || !written)
        throw std::runtime_error(arguments.vectors + ": cannot be written");
    }
  }
  if (std::fflush(stdout) != 0) throw std::runtime_error("the standard output cannot be written");
}

}  // namespace

int main(int count, char** words) {
  try {
    run(parse(embedrt::command_line(count, words)));
    return 0;
  } catch (const UsageError&) {
    std::fputs(kUsage, stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embedrt-run: %s\n", error.what());
    return 1;
  }
}
