/* Windows: a program frees the library while the threads of its pool, which run its code, wait for work.
 *
 *   unload LIBRARY MODEL
 */
#include <embedrt.h>
#include <stdio.h>
#include <windows.h>

#define TEXTS 200
#define LENGTH 8
#define ROOM (TEXTS * 4096)

static int fail(const char* what) {
  fprintf(stderr, "unload: %s\n", what);
  return 1;
}

/* A function of the library, as embedrt.h declares it. */
#define FIND(name) __typeof__(name)* const name##_found = (void*)GetProcAddress(library, #name)

int main(int count, char** words) {
  static int32_t ids[TEXTS * LENGTH];
  static int64_t offsets[TEXTS + 1];
  static float rows[ROOM];
  for (int i = 0; i <= TEXTS; ++i) offsets[i] = i * LENGTH;

  const HMODULE library = count == 3 ? LoadLibraryA(words[1]) : NULL;
  if (library == NULL) return fail("no library");
  FIND(embedrt_open);
  FIND(embedrt_run_texts);
  FIND(embedrt_close);
  if (!embedrt_open_found || !embedrt_run_texts_found || !embedrt_close_found) return fail("no such function");

  const embedrt_options options = {.size = sizeof options, .threads = 3};
  const embedrt_texts texts = {.size = sizeof texts, .count = TEXTS, .ids = ids, .offsets = offsets};
  const embedrt_target target = {.rows = rows, .capacity = ROOM};
  embedrt_model* model = NULL;
  embedrt_error error;
  if (embedrt_open_found(words[2], &options, &model, &error) != EMBEDRT_OK ||
      embedrt_run_texts_found(model, &texts, &target, 1, &error) != EMBEDRT_OK)
    return fail(error.message);
  embedrt_close_found(model);

  if (!FreeLibrary(library)) return fail("not freed");
  if (GetModuleHandleA(words[1]) == NULL) return fail("the code of running threads is gone");
  Sleep(100);
  puts("unloaded in order");
  return 0;
}
