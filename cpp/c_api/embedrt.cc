// The C library: embedrt.h is its documentation. It checks what C cannot promise, and calls Model.
#include "c_api/embedrt.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "c_api/boundary.h"
#include "isa/dispatch.h"
#include "ops/pool.h"
#include "program/model.h"

using namespace embedrt;
using namespace embedrt::c_api;

struct embedrt_model {
  Model model;
};

namespace {

constexpr uint32_t kMaxThreads = 1024;
constexpr std::string_view kTextOutputs[] = {"sentence_embedding", "sparse_embedding", "logits",
                                             "multi_vector_embedding"};
constexpr std::string_view kImageOutputs[] = {"image_embedding"};

embedrt_options read_options(const embedrt_options* given) {
  const embedrt_options options = given == nullptr ? embedrt_options{} : read(given, "options");
  if (options.threads > kMaxThreads)
    throw InputError("options: threads is " + std::to_string(options.threads) + "; give 1 to 1024, or 0 for all CPUs");
  return options;
}

embedrt_model* open_model(std::shared_ptr<const MappedFile> file, const embedrt_options& options) {
  std::unique_ptr<embedrt_model> model(new embedrt_model{.model = {std::move(file), options.threads}});
  if (options.verify != 0) model->model.file().verify_bulk();
  return model.release();
}

// The name of the output that runs on texts, or on images, give unless told otherwise; null where there is none.
const char* main_output(const Program& program, bool image) {
  const auto find = [&](const auto& names) -> const char* {
    for (const std::string_view name : names)
      for (const Output& output : program.outputs)
        if (output.name == name && program.type(output.value).image == image) return output.name.c_str();
    return nullptr;
  };
  return image ? find(kImageOutputs) : find(kTextOutputs);
}

embedrt_rows rows_of(const ValueType& type) {
  if (type.kind == ValueKind::grid) return EMBEDRT_ROWS_OF_IMAGE;
  if (type.kind == ValueKind::rows) return EMBEDRT_ROW_PER_TOKEN;
  return type.image ? EMBEDRT_ROW_PER_IMAGE : EMBEDRT_ROW_PER_TEXT;
}

embedrt_output describe(const Model& model, const Output& output) {
  const ValueType type = model.program().type(output.value);
  embedrt_output result{};
  result.name = output.name.c_str();
  result.rows = rows_of(type);
  result.columns = type.columns;
  result.image_rows = type.image ? static_cast<uint32_t>(type.item_rows()) : 0;
  if (type.kind == ValueKind::grid) {
    result.prefix_rows = type.prefix;
    result.grid_height = type.height;
    result.grid_width = type.width;
  }
  result.unit_length = model.unit_length(output.name);
  return result;
}

std::string output_name(const embedrt_target& target, const Program& program, bool image) {
  const char* name = target.output != nullptr ? target.output : main_output(program, image);
  if (name == nullptr)
    throw InputError(std::string("the model has no output that is the main one of ") + (image ? "images" : "texts") +
                     ": name one");
  return name;
}

// The room for `items` times `item_rows` rows of an output, which is of the call's kind. What is not is Model's to say.
float* checked_room(const embedrt_target& target, const std::string& name, const ValueType& type, size_t items,
                    size_t item_rows) {
  if (target.capacity / type.columns / item_rows < items)
    throw InputError("the output " + name + " gives " + std::to_string(items) + " x " +
                     std::to_string(item_rows * type.columns) + " floats, and there is room for " +
                     std::to_string(target.capacity));
  if (target.rows == nullptr && items > 0) throw InputError("the target of the output " + name + " is NULL");
  return target.rows;
}

// Checks what the spans that are made of the caller's pointers rest on; Model checks what is in them.
TextCall read_call(const embedrt_texts& texts) {
  if (texts.count >= PTRDIFF_MAX / sizeof(int64_t)) throw InputError("texts: count is " + std::to_string(texts.count));
  const int64_t tokens = (&require(texts.offsets, "texts: offsets"))[texts.count];
  if (tokens < 0) throw InputError("texts: the last offset is " + std::to_string(tokens));
  const auto size = static_cast<size_t>(tokens);
  if (size > 0) require(texts.ids, "texts: ids");
  TextCall call{.ids = {texts.ids, size}, .offsets = {texts.offsets, texts.count + 1}};
  if (texts.types != nullptr) call.types.emplace(texts.types, size);
  if (texts.attended != nullptr) call.attended.emplace(texts.attended, texts.count);
  if (texts.spans != nullptr)
    call.spans.emplace(reinterpret_cast<const std::array<int64_t, 2>*>(texts.spans), texts.span_count);
  if (texts.pooling != nullptr) call.pooling = pool_kind(texts.pooling);
  return call;
}

// Runs what the caller describes; run(call, stop) says whether it came to its end.
template <class Call, class Run>
embedrt_status run_call(const Call* given, const char* name, embedrt_error* error, Run run) {
  bool finished = false;
  const embedrt_status status = guarded(error, [&] {
    const Call call = read(given, name);
    finished = run(call, [&] { return call.stop != nullptr && call.stop(call.stop_context) != 0; });
  });
  if (status != EMBEDRT_OK || finished) return status;
  return report(error, EMBEDRT_STOPPED, 0, "the run was stopped");
}

}  // namespace

const char* embedrt_version(void) {
  return EMBEDRT_VERSION;
}

uint32_t embedrt_numerics_revision(void) {
  return kNumericsRevision;
}

embedrt_status embedrt_isa(const char** name, embedrt_error* error) {
  return guarded(error, [&] { require(name, "name") = kernels().name; });
}

const char* embedrt_available_isa(size_t index) {
  const char* name = nullptr;
  guarded(nullptr, [&] {
    const std::vector<std::string> names = available_isas();
    if (index < names.size()) name = kernels_of(names[index])->name;
  });
  return name;
}

embedrt_status embedrt_open(const char* path, const embedrt_options* options, embedrt_model** model,
                            embedrt_error* error) {
  return guarded(error, [&] {
    require(model, "model") = nullptr;
    const embedrt_options known = read_options(options);
    *model = open_model(MappedFile::open(&require(path, "path"), known.copy == 0), known);
  });
}

embedrt_status embedrt_open_memory(const void* bytes, size_t size, const embedrt_options* options,
                                   embedrt_model** model, embedrt_error* error) {
  return guarded(error, [&] {
    require(model, "model") = nullptr;
    const embedrt_options known = read_options(options);
    const auto* data = static_cast<const std::byte*>(bytes);
    if (size > 0) require(data, "bytes");
    *model = open_model(MappedFile::copy({data, size}), known);
  });
}

void embedrt_close(embedrt_model* model) {
  delete model;
}

embedrt_status embedrt_get_info(const embedrt_model* model, embedrt_info* info, embedrt_error* error) {
  return guarded(error, [&] {
    const Model& opened = require(model, "model").model;
    const Program& program = opened.program();
    embedrt_info known{};
    known.outputs = program.outputs.size();
    known.text_output = main_output(program, false);
    known.image_output = main_output(program, true);
    known.vocabulary = program.limits.vocabulary;
    known.max_tokens = program.limits.max_tokens;
    known.token_types = program.limits.types;
    known.image_height = program.limits.image_height;
    known.image_width = program.limits.image_width;
    known.image_channels = program.limits.image_height > 0 ? 3 : 0;
    known.threads = opened.threads();
    known.file_size = opened.file().file_size();
    opened.file().fingerprint(kNumericsRevision).copy(known.fingerprint, sizeof known.fingerprint - 1);
    write(known, info, "info");
  });
}

embedrt_status embedrt_get_output(const embedrt_model* model, size_t index, embedrt_output* output,
                                  embedrt_error* error) {
  return guarded(error, [&] {
    const Model& opened = require(model, "model").model;
    const auto& outputs = opened.program().outputs;
    if (index >= outputs.size())
      throw InputError("there is no output number " + std::to_string(index) + ": the model has " +
                       std::to_string(outputs.size()));
    write(describe(opened, outputs[index]), output, "output");
  });
}

embedrt_status embedrt_find_output(const embedrt_model* model, const char* name, embedrt_output* output,
                                   embedrt_error* error) {
  return guarded(error, [&] {
    const Model& opened = require(model, "model").model;
    write(describe(opened, opened.output(&require(name, "name"))), output, "output");
  });
}

embedrt_status embedrt_section(const embedrt_model* model, const char* name, const char** bytes, size_t* size,
                               embedrt_error* error) {
  return guarded(error, [&] {
    const auto content = require(model, "model").model.file().json_section(&require(name, "name"));
    require(bytes, "bytes") = nullptr;
    require(size, "size") = 0;
    if (!content) return;
    *bytes = reinterpret_cast<const char*>(content->data());
    *size = content->size();
  });
}

embedrt_status embedrt_run_texts(const embedrt_model* model, const embedrt_texts* texts, const embedrt_target* targets,
                                 size_t target_count, embedrt_error* error) {
  return run_call(texts, "texts", error, [&](const embedrt_texts& known, auto stop) {
    const Model& opened = require(model, "model").model;
    const TextCall call = read_call(known);
    std::vector<Target> all;
    for (size_t i = 0; i < target_count; ++i) {
      const embedrt_target& target = (&require(targets, "targets"))[i];
      const std::string name = output_name(target, opened.program(), false);
      const ValueType type = opened.output_type(name);
      all.push_back({name, type.image ? nullptr : checked_room(target, name, type, call.rows(type), 1)});
    }
    return opened.run(call, all, stop);
  });
}

embedrt_status embedrt_run_images(const embedrt_model* model, const embedrt_images* images,
                                  const embedrt_target* target, embedrt_error* error) {
  return run_call(images, "images", error, [&](const embedrt_images& known, auto stop) {
    const Model& opened = require(model, "model").model;
    const std::string name = output_name(require(target, "target"), opened.program(), true);
    const ValueType type = opened.output_type(name);
    float* rows = type.image ? checked_room(*target, name, type, known.count, type.item_rows()) : nullptr;
    if (known.count > 0) require(known.pixels, "images: pixels");
    return opened.run_images(known.pixels, known.count, name, rows, stop);
  });
}
