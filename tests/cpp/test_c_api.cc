// Opening and asking, through embedrt.h.
#include <cerrno>
#include <fstream>
#include <initializer_list>
#include <set>

#include "c_models.h"
#include "image_maker.h"
#include "temporary_folder.h"

using namespace embedrt;
using namespace embedrt::test;

namespace {

Bytes table_file() {
  std::map<uint32_t, Bytes> sections = {{1, TableModel().program.section()}, {8, TableModel().program.bulk}};
  const std::string json = "{\"a\": 1}";
  const auto bytes = std::as_bytes(std::span(json));
  sections[3] = {bytes.begin(), bytes.end()};
  return make_file(sections);
}

std::string written(const TemporaryFolder& folder, const Bytes& file) {
  const std::filesystem::path path = folder.path() / u8"ünï.embedrt";
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  const std::u8string name = path.u8string();
  return {name.begin(), name.end()};
}

embedrt_info info_of(const embedrt_model* model) {
  embedrt_info info{};
  info.size = sizeof info;
  CHECK(embedrt_get_info(model, &info, nullptr) == EMBEDRT_OK);
  return info;
}

embedrt_output output_of(const embedrt_model* model, const char* name) {
  embedrt_output output{};
  output.size = sizeof output;
  CHECK(embedrt_find_output(model, name, &output, nullptr) == EMBEDRT_OK);
  return output;
}

}  // namespace

TEST(c_api_library_names_itself) {
  int major = -1, minor = -1, patch = -1;
  CHECK(std::sscanf(embedrt_version(), "%d.%d.%d", &major, &minor, &patch) == 3);
  CHECK(embedrt_numerics_revision() > 0);
  const char* isa = nullptr;
  CHECK(embedrt_isa(&isa, nullptr) == EMBEDRT_OK);
  std::set<std::string> available;
  for (size_t i = 0; const char* name = embedrt_available_isa(i); ++i) available.insert(name);
  CHECK(available.contains(isa) && available.contains("scalar"));
  CHECK(embedrt_available_isa(available.size()) == nullptr && embedrt_available_isa(SIZE_MAX) == nullptr);
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "name is NULL", error, embedrt_isa(nullptr, error));
}

TEST(c_api_opens_paths_and_memory) {
  const Bytes file = table_file();
  const TemporaryFolder folder;
  const std::string path = written(folder, file);
  std::set<std::string> fingerprints;
  for (const int copy : {0, 1})
    for (const int verify : {0, 1}) {
      embedrt_options options{};
      options.size = sizeof options;
      options.copy = copy;
      options.verify = verify;
      options.threads = 3;
      embedrt_model* model = nullptr;
      CHECK(embedrt_open(path.c_str(), &options, &model, nullptr) == EMBEDRT_OK);
      fingerprints.insert(info_of(model).fingerprint);
      CHECK(info_of(model).threads == 3 && info_of(model).file_size == file.size());
      embedrt_close(model);
    }
  for (const size_t shift : std::initializer_list<size_t>{0, 1, 7, 33}) {
    Bytes shifted(shift + file.size());
    std::copy(file.begin(), file.end(), shifted.begin() + static_cast<std::ptrdiff_t>(shift));
    embedrt_model* model = nullptr;
    CHECK(embedrt_open_memory(shifted.data() + shift, file.size(), nullptr, &model, nullptr) == EMBEDRT_OK);
    shifted.clear();
    shifted.shrink_to_fit();
    fingerprints.insert(info_of(model).fingerprint);
    CHECK(info_of(model).threads > 0);
    CHECK(run_texts(model, Texts({3}).call(), nullptr, TableModel::kColumns).size() == TableModel::kColumns);
    embedrt_close(model);
  }
  CHECK(fingerprints.size() == 1 && fingerprints.begin()->size() == 32);
  embedrt_close(nullptr);
}

TEST(c_api_refuses_to_open) {
  const Bytes file = table_file();
  const TemporaryFolder folder;
  const std::string path = written(folder, file);
  int nothing = 0;
  auto* model = reinterpret_cast<embedrt_model*>(&nothing);
  embedrt_error missing;
  CHECK(embedrt_open((path + "x").c_str(), nullptr, &model, &missing) == EMBEDRT_SYSTEM_ERROR);
  CHECK(missing.system_code == ENOENT && model == nullptr);
  CHECK_REFUSED(EMBEDRT_SYSTEM_ERROR, "ünï.embedrtx: ", error,
                embedrt_open((path + "x").c_str(), nullptr, &model, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "path is NULL", error, embedrt_open(nullptr, nullptr, &model, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "model is NULL", error, embedrt_open(path.c_str(), nullptr, nullptr, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "bytes is NULL", error, embedrt_open_memory(nullptr, 9, nullptr, &model, error));
  CHECK_REFUSED(EMBEDRT_FORMAT_ERROR, "this is not an embedrt model", error,
                embedrt_open_memory(nullptr, 0, nullptr, &model, error));
  CHECK_REFUSED(EMBEDRT_FORMAT_ERROR, "the file should have", error,
                embedrt_open_memory(file.data(), file.size() - 64, nullptr, &model, error));

  Bytes damaged = file;
  damaged[damaged.size() - 1] ^= std::byte{1};
  embedrt_options options{};
  options.size = sizeof options;
  CHECK(embedrt_open_memory(damaged.data(), damaged.size(), &options, &model, nullptr) == EMBEDRT_OK);
  embedrt_close(model);
  options.verify = 1;
  CHECK_REFUSED(EMBEDRT_FORMAT_ERROR, "is not zero", error,
                embedrt_open_memory(damaged.data(), damaged.size(), &options, &model, error));
  options.threads = 1025;
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "threads is 1025", error, embedrt_open(path.c_str(), &options, &model, error));
  options.size = 0;
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "options: size is 0", error, embedrt_open(path.c_str(), &options, &model, error));
  CHECK(model == nullptr);
}

TEST(c_api_info_of_texts) {
  const OpenModel model = open_file(table_file(), 2);
  const embedrt_info info = info_of(model.get());
  CHECK(info.size == sizeof info && info.outputs == 3);
  CHECK(std::string(info.text_output) == "sentence_embedding" && info.image_output == nullptr);
  CHECK(info.vocabulary == TableModel::kVocabulary && info.max_tokens == TableModel::kMaxTokens);
  CHECK(info.token_types == kTypes && info.threads == 2);
  CHECK(info.image_height == 0 && info.image_width == 0 && info.image_channels == 0);

  const char* names[] = {"token_embeddings", "sentence_embedding", "logits"};
  for (size_t i = 0; i < 3; ++i) {
    embedrt_output output{};
    output.size = sizeof output;
    CHECK(embedrt_get_output(model.get(), i, &output, nullptr) == EMBEDRT_OK);
    CHECK(std::string(output.name) == names[i]);
    CHECK(output.rows == (i == 0 ? EMBEDRT_ROW_PER_TOKEN : EMBEDRT_ROW_PER_TEXT));
    CHECK(output.columns == (i == 2 ? TableModel::kLogits : TableModel::kColumns));
    CHECK(output.unit_length == (i == 1) && output.image_rows == 0 && output.grid_height == 0);
    CHECK(output_of(model.get(), names[i]).name == output.name);
  }
  embedrt_output output{};
  output.size = sizeof output;
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "there is no output number 3", error,
                embedrt_get_output(model.get(), 3, &output, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "the model has no output colours; it has token_embeddings", error,
                embedrt_find_output(model.get(), "colours", &output, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "name is NULL", error, embedrt_find_output(model.get(), nullptr, &output, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "model is NULL", error, embedrt_get_output(nullptr, 0, &output, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "output is NULL", error, embedrt_get_output(model.get(), 0, nullptr, error));
  output.size = 4;
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "output: size is 4", error, embedrt_get_output(model.get(), 0, &output, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "info is NULL", error, embedrt_get_info(model.get(), nullptr, error));
}

TEST(c_api_info_of_images) {
  const OpenModel model = open_file(make_file(every_image_op()), 1);
  const embedrt_info info = info_of(model.get());
  CHECK(info.text_output == nullptr && std::string(info.image_output) == "image_embedding");
  CHECK(info.vocabulary == 0 && info.max_tokens == 0 && info.token_types == 0);
  CHECK(info.image_height == 11 && info.image_width == 13 && info.image_channels == 3);
  const embedrt_output patches = output_of(model.get(), "patch_embeddings");
  CHECK(patches.rows == EMBEDRT_ROWS_OF_IMAGE && patches.image_rows == 2 + 5 * 7);
  CHECK(patches.prefix_rows == 2 && patches.grid_height == 5 && patches.grid_width == 7);
  const embedrt_output pooled = output_of(model.get(), "image_embedding");
  CHECK(pooled.rows == EMBEDRT_ROW_PER_IMAGE && pooled.image_rows == 1 && pooled.prefix_rows == 0);

  const OpenModel both = open_file(make_file(two_towers()), 1);
  CHECK(std::string(info_of(both.get()).text_output) == "sentence_embedding");
  CHECK(std::string(info_of(both.get()).image_output) == "image_embedding");
}

// Of several outputs that one which the documentation names first; the last of each list here.
TEST(c_api_main_output_of_texts) {
  for (const std::vector<std::string>& names :
       std::vector<std::vector<std::string>>{{"token_embeddings", "logits", "sparse_embedding", "sentence_embedding"},
                                             {"multi_vector_embedding", "logits", "sparse_embedding"},
                                             {"multi_vector_embedding", "logits"},
                                             {"token_embeddings", "multi_vector_embedding"}}) {
    const bool of_tokens = names.back() == "multi_vector_embedding";
    ProgramMaker p(7, 30);
    const uint16_t rows = p.lookup(Layout::matrix_f32, 8, 0);
    const uint16_t pooled = of_tokens ? rows : p.instruction("pool", {rows}, {});
    for (const std::string& name : names)
      p.outputs.emplace_back(name, name == "token_embeddings" || name == "multi_vector_embedding" ? rows : pooled);
    const OpenModel model = open_file(make_file(p), 1);
    CHECK(info_of(model.get()).text_output == names.back());
  }
  ProgramMaker p(7, 30);
  p.outputs = {{"token_embeddings", p.lookup(Layout::matrix_f32, 8, 0)}};
  CHECK(info_of(open_file(make_file(p), 1).get()).text_output == nullptr);
}

TEST(c_api_sections) {
  const OpenModel model = open_file(table_file(), 1);
  const char* bytes = nullptr;
  size_t size = 0;
  CHECK(embedrt_section(model.get(), "tokenizer", &bytes, &size, nullptr) == EMBEDRT_OK);
  CHECK(std::string(bytes, size) == "{\"a\": 1}");
  for (const char* name : {"text", "image", "about", "report", "golden"}) {
    CHECK(embedrt_section(model.get(), name, &bytes, &size, nullptr) == EMBEDRT_OK);
    CHECK(bytes == nullptr && size == 0);
  }
  for (const char* name : {"program", "tensors", "", "colours"})
    CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "no section is called ", error,
                  embedrt_section(model.get(), name, &bytes, &size, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "bytes is NULL", error,
                embedrt_section(model.get(), "about", nullptr, &size, error));
}
