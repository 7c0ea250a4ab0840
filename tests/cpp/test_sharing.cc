// One block on several threads: the same bits whatever their number, and no thread where it does not pay.
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "base/thread_pool.h"
#include "check.h"
#include "cpu_time.h"
#include "file_maker.h"
#include "program/model.h"

using namespace embedrt;
using namespace embedrt::test;
using namespace std::chrono_literals;

namespace {

constexpr uint32_t kMostTokens = 400;
using Lengths = std::vector<int64_t>;

// Wide enough that a single token is worth sharing: 3.9 million weights. Twelve heads of 48 columns, k and v of as many
// or fewer.
std::shared_ptr<const MappedFile> encoder(Layout weights, uint32_t precision, uint32_t kv_heads = 12) {
  constexpr uint32_t kWidth = 576, kInner = 2304 - 16;  // panels that no number of threads below divides
  ProgramMaker p(50, kMostTokens);
  uint16_t x =
      p.instruction("add", {p.lookup(Layout::table_i8, kWidth, 0), p.lookup(Layout::matrix_f32, kWidth, 1)}, {});
  x = p.norm(x, kWidth, 0, true);
  const uint16_t qkv = p.linear(weights, {x}, kWidth + 2 * kv_heads * 48, kWidth, 0, true);
  const uint16_t mixed =
      p.instruction("attention", {qkv}, {}, {{0, 12}, {1, 0x3e000000}, {2, precision}, {5, kv_heads}});
  x = p.norm(p.linear(weights, {mixed, x}, kWidth, kWidth, 0, true), kWidth, 0, true);
  const uint16_t inner = p.linear(weights, {x}, kInner, kWidth, 2, true);
  x = p.norm(p.linear(weights, {inner, x}, kWidth, kInner, 0, false), kWidth, 0, true);
  p.outputs = {{"token_embeddings", x}};
  return MappedFile::copy(make_file(p));
}

struct Call {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets{0};

  explicit Call(const Lengths& lengths) {
    for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
    for (int64_t i = 0; i < offsets.back(); ++i) ids.push_back(static_cast<int32_t>((i * 7 + i / 5) % 50));
  }
};

std::vector<float> run(const Model& model, const Lengths& lengths) {
  const Call call(lengths);
  std::vector<float> out(call.ids.size() * model.output_type("token_embeddings").columns);
  const auto never = [] { return false; };
  CHECK(model.run({.ids = call.ids, .offsets = call.offsets}, {{"token_embeddings", out.data()}}, never));
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Lengths around slices of 32 and 64 rows, longer ones before shorter ones, which then run in a frame that was laid out
// for more; calls of fewer texts than threads.
const std::vector<Lengths> kCalls = {{1},  {9},   {kMostTokens}, {256}, {170},           {113},    {65}, {64},
                                     {33}, {130}, {140, 3, 150}, {0},   {9, 9, 9, 0, 2}, {60, 60}, {16}};

void compare(Layout weights, uint32_t precision, uint32_t kv_heads = 12) {
  const auto file = encoder(weights, precision, kv_heads);
  const Model alone(file, 1);
  std::vector<std::vector<float>> expected;
  for (const Lengths& lengths : kCalls) expected.push_back(run(alone, lengths));
  for (const unsigned threads : {2u, 3u, 8u}) {
    const Model model(file, threads);
    for (size_t i = 0; i < kCalls.size(); ++i) CHECK(same_bits(run(model, kCalls[i]), expected[i]));
    CHECK(pool_threads() >= threads - 1);
  }
}

}  // namespace

TEST(sharing_does_not_change_bits) {
  compare(Layout::panel_i8, 0);   // attention computes q, k and v itself
  compare(Layout::panel_f32, 1);  // and here it reads them
  compare(Layout::panel_f32, 0);
}

// Eight threads share four groups of three heads, and one of twelve.
TEST(sharing_grouped_heads_does_not_change_bits) {
  for (const uint32_t kv_heads : {4u, 1u}) {
    compare(Layout::panel_i8, 0, kv_heads);
    compare(Layout::panel_f32, 1, kv_heads);
  }
}

TEST(sharing_by_several_callers_at_once) {
  const Model model(encoder(Layout::panel_i8, 0), 3);
  const std::vector<float> query = run(model, {9}), text = run(model, {200});
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 20; ++i) {
        if (caller == 3) wrong += i < 3 && !same_bits(run(model, {200}), text);
        wrong += !same_bits(run(model, {9}), query);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST(sharing_asks_stop_before_each_block) {
  const Model model(encoder(Layout::panel_i8, 0), 8);
  const Call call({200, 200, 200});
  std::vector<float> out(call.ids.size() * 576);
  int asked = 0;
  const auto stop = [&] { return ++asked == 2; };
  CHECK(!model.run({.ids = call.ids, .offsets = call.offsets}, {{"token_embeddings", out.data()}}, stop));
  CHECK(asked == 2);
}

TEST(sharing_leaves_no_thread_at_work) {
  const Model model(encoder(Layout::panel_i8, 0), 8);
  run(model, {9});
  std::this_thread::sleep_for(20ms);
  const double before = cpu_seconds();
  std::this_thread::sleep_for(200ms);
  // One thread that spins would take 200 ms; a busy machine charges some for others.
  CHECK(cpu_seconds() - before < 0.1);
}

#ifndef _WIN32
TEST(sharing_goes_on_after_fork) {
  const Model model(encoder(Layout::panel_i8, 0), 3);
  const std::vector<float> expected = run(model, {40});
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::_exit(same_bits(run(model, {40}), expected) && pool_threads() == 2 ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

TEST(sharing_only_what_is_worth_it) {
  const unsigned before = pool_threads();
  const Model tiny(MappedFile::copy(make_file(tiny_encoder(true))), before + 2);
  const Call call({9});
  std::vector<float> out(16);
  const auto never = [] { return false; };
  CHECK(tiny.run({.ids = call.ids, .offsets = call.offsets}, {{"sentence_embedding", out.data()}}, never));
  CHECK(pool_threads() == before);
}
