// Writes the files that fuzzing starts from: every op, every layout, all sections. make_seeds FOLDER
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "../cpp/image_maker.h"

using namespace embedrt;
using namespace embedrt::test;

namespace {

Bytes text(const std::string& words) {
  const auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

// One op on a few columns, between a lookup and a pooled output.
ProgramMaker one_linear(Layout layout, uint32_t n, uint32_t k, uint32_t activation) {
  ProgramMaker p(6, 9);
  const uint16_t x = p.linear(layout, {p.lookup(Layout::table_i8, k, 0)}, n, k, activation, activation % 2 == 0);
  p.outputs = {{"token_embeddings", x}, {"sentence_embedding", p.instruction("pool", {x}, {}, {{0, activation}})}};
  return p;
}

ProgramMaker one_attention(uint32_t heads, uint32_t dim, uint32_t precision, bool near = false) {
  ProgramMaker p(6, 9);
  const uint16_t qkv = p.lookup(Layout::matrix_f32, 3 * heads * dim, 0);
  std::vector<uint16_t> bias;
  if (near) bias = {p.tensor(Layout::matrix_f32, heads, 2 * p.max_tokens - 1)};
  const uint16_t x = p.instruction("attention", {qkv}, bias, {{0, heads}, {2, precision}, {4, near ? 2 : 0}});
  p.outputs = {{"token_embeddings", p.norm(x, heads * dim, precision, true)}};
  return p;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: make_seeds FOLDER\n");
    return 2;
  }
  std::map<std::string, Bytes> seeds;
  for (const uint32_t width : {2u, 15u}) seeds["every_op_" + std::to_string(width)] = make_file(every_op(width));
  for (const uint32_t head_dim : {1u, 4u}) {
    for (const bool quantised : {false, true}) {
      const std::string name = (quantised ? "encoder_int8_" : "encoder_fp32_") + std::to_string(head_dim);
      seeds[name] = make_file(tiny_encoder(quantised, head_dim));
    }
  }
  for (uint32_t activation = 0; activation < 7; ++activation) {
    const std::string name = "linear_" + std::to_string(activation);
    seeds[name + "_i8"] = make_file(one_linear(Layout::panel_i8, 5 + 7 * activation, 3 + activation, activation));
    seeds[name + "_f32"] = make_file(one_linear(Layout::panel_f32, 3 + activation, 18, activation));
  }
  for (uint32_t precision = 0; precision < 2; ++precision) {
    seeds["attention_" + std::to_string(precision)] = make_file(one_attention(2, 5, precision));
    seeds["attention_wide_" + std::to_string(precision)] = make_file(one_attention(1, 33, precision));
    seeds["attention_near_" + std::to_string(precision)] = make_file(one_attention(3, 7, precision, true));
  }
  for (const uint32_t columns : {3u, 17u})
    seeds["every_image_op_" + std::to_string(columns)] = make_file(every_image_op(columns, 5, 7));
  seeds["two_towers"] = make_file(two_towers());
  const ProgramMaker p = tiny_encoder(true, 1);
  seeds["all_sections"] = make_file({{1, p.section()},
                                     {2, text("{\"max_tokens\": 8}")},
                                     {3, text("{\"version\": \"1.0\"}")},
                                     {4, text("{\"resize\": null}")},
                                     {5, text("{\"name\": \"seed\"}")},
                                     {6, text("{}")},
                                     {7, text("{\"items\": []}")},
                                     {8, p.bulk}});
  for (const auto& [name, bytes] : seeds) {
    std::ofstream file(std::filesystem::path(arguments[1]) / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) return 1;
  }
}
