/* Prints the vector of one text, given as token ids: embed_ids MODEL ID... */
#include <embedrt.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const embedrt_error* error) {
  fprintf(stderr, "embed_ids: %s\n", error->message);
  return 1;
}

int main(int count, char** arguments) {
  embedrt_error error;
  embedrt_model* model = NULL;
  if (count < 3) {
    fprintf(stderr, "usage: embed_ids MODEL ID...\n");
    return 2;
  }
  if (embedrt_open(arguments[1], NULL, &model, &error) != EMBEDRT_OK) return fail(&error);

  embedrt_info info = {.size = sizeof info};
  embedrt_output output = {.size = sizeof output};
  if (embedrt_get_info(model, &info, &error) != EMBEDRT_OK ||
      embedrt_find_output(model, info.text_output, &output, &error) != EMBEDRT_OK) {
    embedrt_close(model);
    return fail(&error);
  }

  const int64_t tokens = count - 2;
  const int64_t offsets[] = {0, tokens}; /* one text, from the first id to the last */
  const size_t room = output.columns * (output.rows == EMBEDRT_ROW_PER_TOKEN ? (size_t)tokens : 1);
  int32_t* ids = malloc((size_t)tokens * sizeof *ids);
  float* vector = malloc(room * sizeof *vector);
  int result = ids != NULL && vector != NULL ? 0 : 1;
  if (result == 0) {
    for (int64_t i = 0; i < tokens; ++i) ids[i] = (int32_t)strtol(arguments[i + 2], NULL, 10);
    const embedrt_texts texts = {.size = sizeof texts, .count = 1, .ids = ids, .offsets = offsets};
    const embedrt_target target = {.rows = vector, .capacity = room};
    if (embedrt_run_texts(model, &texts, &target, 1, &error) != EMBEDRT_OK) result = fail(&error);
  }
  for (size_t i = 0; result == 0 && i < room; ++i) printf("%.9g\n", (double)vector[i]);
  free(vector);
  free(ids);
  embedrt_close(model);
  return result;
}
