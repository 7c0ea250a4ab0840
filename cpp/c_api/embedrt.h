/* embedrt: embeddings of texts and images on a CPU, from C99 or C++. docs/embedding.md is the guide.
 *
 * A model is opened from an .embedrt file and run on token ids or pixels; making ids of texts and pixels of pictures is
 * the caller's (a file may hold its tokenizer: see embedrt_section).
 *
 * Errors. A function that can fail returns its status and, where `error` is not NULL, fills it in, also on success. No
 * exception leaves the library and it keeps no last error anywhere. After a failed run the caller's buffers hold
 * anything.
 *
 * Threads. Any number of threads may query and run one model, or several, at once; no result depends on it. Opening is
 * as safe. A model may be closed once no other thread uses it, or anything that was obtained from it. All models of a
 * process share one pool of threads, which starts with the first run that is worth it and sleeps between runs.
 *
 * Structs whose first member is `size` may grow in later versions. The caller zeroes them and sets `size` to their
 * sizeof: `embedrt_texts texts = {.size = sizeof texts};`, in C++ `embedrt_texts texts{}; texts.size = sizeof texts;`.
 * Zero is the default of every other member.
 *
 * Strings are UTF-8 and end with a zero byte.
 */
#ifndef EMBEDRT_H
#define EMBEDRT_H

#include <stddef.h>
#include <stdint.h>

#if defined(EMBEDRT_STATIC)
#define EMBEDRT_API
#elif defined(_WIN32) && defined(EMBEDRT_BUILDING)
#define EMBEDRT_API __declspec(dllexport)
#elif defined(_WIN32)
#define EMBEDRT_API __declspec(dllimport)
#else
#define EMBEDRT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum embedrt_status {
  EMBEDRT_OK = 0,
  EMBEDRT_FORMAT_ERROR = 1,  /* the file is not a model that this library can run, or is damaged */
  EMBEDRT_INPUT_ERROR = 2,   /* the caller passed something that the function or the model does not take */
  EMBEDRT_SYSTEM_ERROR = 3,  /* the operating system refused something */
  EMBEDRT_OUT_OF_MEMORY = 4, /* there was not enough memory */
  EMBEDRT_STOPPED = 5,       /* the call's `stop` said so */
  EMBEDRT_OTHER_ERROR = 6    /* anything else: a result that is not finite, for example */
} embedrt_status;

typedef struct embedrt_error {
  embedrt_status status;
  int system_code;   /* the errno of EMBEDRT_SYSTEM_ERROR, otherwise 0 */
  char message[496]; /* what is wrong and where; cut after a whole character where it is longer; "" for EMBEDRT_OK */
} embedrt_error;

/* The version of the library, "0.1.0". */
EMBEDRT_API const char* embedrt_version(void);

/* The revision of the arithmetic (docs/numerics.md): a model gives other bits under another one. */
EMBEDRT_API uint32_t embedrt_numerics_revision(void);

/* The name of the instruction set that this process runs, "avx2": the best that the CPU has, or the one that the
 * environment variable EMBEDRT_ISA named at the first call. EMBEDRT_INPUT_ERROR where the CPU cannot run that one. */
EMBEDRT_API embedrt_status embedrt_isa(const char** name, embedrt_error* error);

/* The instruction sets of the library that the CPU can run, best first: the name of number `index`, from 0; NULL past
 * the last one. */
EMBEDRT_API const char* embedrt_available_isa(size_t index);

/* ---- models */

typedef struct embedrt_model embedrt_model;

typedef struct embedrt_options {
  size_t size;
  int copy;   /* not 0: read the whole file into memory, where it is otherwise mapped. A mapped file must neither be
                 truncated nor written to as long as the model is open; replacing it by renaming is fine. */
  int verify; /* not 0: check every byte of the file. Otherwise all is checked but the values of the weights. */
  uint32_t threads; /* that one run may use, up to 1024; 0: as many as the CPUs that this process may use */
} embedrt_options;

/* Opens a model file; `options` may be NULL. *model is the caller's to close, and NULL after an error.
 * EMBEDRT_FORMAT_ERROR, EMBEDRT_SYSTEM_ERROR, EMBEDRT_INPUT_ERROR. */
EMBEDRT_API embedrt_status embedrt_open(const char* path, const embedrt_options* options, embedrt_model** model,
                                        embedrt_error* error);

/* The same for the `size` bytes of a file in memory. They are copied and may lie anywhere. */
EMBEDRT_API embedrt_status embedrt_open_memory(const void* bytes, size_t size, const embedrt_options* options,
                                               embedrt_model** model, embedrt_error* error);

/* Closes a model; NULL is fine. */
EMBEDRT_API void embedrt_close(embedrt_model* model);

typedef struct embedrt_info {
  size_t size;
  size_t outputs;                     /* the number of its outputs */
  const char* text_output;            /* what runs on texts give unless told otherwise: sentence_embedding, else
                                         sparse_embedding, logits or multi_vector_embedding; NULL: it takes no texts */
  const char* image_output;           /* the same of images: image_embedding; NULL where there is none */
  uint32_t vocabulary;                /* ids are from 0 to vocabulary - 1; 0 where the model takes no texts */
  uint32_t max_tokens;                /* of one text */
  uint32_t token_types;               /* types are from 0 to token_types - 1; 0 where the model has none */
  uint32_t image_height, image_width; /* pixels; 0 where the model takes no images */
  uint32_t image_channels;            /* 3: red, green, blue */
  uint32_t threads;                   /* that one run may use */
  uint64_t file_size;                 /* bytes */
  char fingerprint[33];               /* 32 hexadecimal digits: equal ones give equal vectors, to the bit, anywhere */
} embedrt_info;

/* What a model is. Its strings are valid as long as the model is open. EMBEDRT_INPUT_ERROR. */
EMBEDRT_API embedrt_status embedrt_get_info(const embedrt_model* model, embedrt_info* info, embedrt_error* error);

typedef enum embedrt_rows {
  EMBEDRT_ROW_PER_TEXT = 1,  /* or one for each span, where the call names some */
  EMBEDRT_ROW_PER_TOKEN = 2, /* of all texts, one after another */
  EMBEDRT_ROW_PER_IMAGE = 3,
  EMBEDRT_ROWS_OF_IMAGE = 4 /* image_rows of them for each image */
} embedrt_rows;

typedef struct embedrt_output {
  size_t size;
  const char* name;
  embedrt_rows rows;
  uint32_t columns;                 /* floats of a row */
  uint32_t image_rows;              /* 1 of EMBEDRT_ROW_PER_IMAGE, prefix_rows + grid_height * grid_width of
                                       EMBEDRT_ROWS_OF_IMAGE, 0 of texts */
  uint32_t prefix_rows;             /* rows before the grid: class token, registers */
  uint32_t grid_height, grid_width; /* places of the grid, whose lines follow one another */
  int unit_length;                  /* 1 where every row is divided by its length */
} embedrt_output;

/* Output number `index`, from 0, and the one called `name`. Strings are valid as long as the model is open.
 * EMBEDRT_INPUT_ERROR where there is none. */
EMBEDRT_API embedrt_status embedrt_get_output(const embedrt_model* model, size_t index, embedrt_output* output,
                                              embedrt_error* error);
EMBEDRT_API embedrt_status embedrt_find_output(const embedrt_model* model, const char* name, embedrt_output* output,
                                               embedrt_error* error);

/* A JSON section of the file, as docs/format.md has them: "text", "tokenizer", "image", "about", "report" or "golden".
 * *bytes is NULL and *size 0 where the file has none; otherwise *size bytes, with no zero byte after them, that are
 * valid as long as the model is open. EMBEDRT_INPUT_ERROR for another name. */
EMBEDRT_API embedrt_status embedrt_section(const embedrt_model* model, const char* name, const char** bytes,
                                           size_t* size, embedrt_error* error);

/* ---- runs */

/* Where the rows of an output go: one after another, `columns` float32 each. */
typedef struct embedrt_target {
  const char* output; /* NULL: embedrt_info's text_output or image_output */
  float* rows;
  size_t capacity; /* floats that `rows` has room for; fewer than the call gives are EMBEDRT_INPUT_ERROR */
} embedrt_target;

/* Asked every now and then by the thread that runs; not 0 ends the run with EMBEDRT_STOPPED. */
typedef int (*embedrt_stop)(void* context);

typedef struct embedrt_texts {
  size_t size;
  size_t count;           /* of texts */
  const int32_t* ids;     /* [offsets[count]]: the tokens of all texts, one text after another, special ones included */
  const int64_t* offsets; /* [count + 1], from 0: text i has ids[offsets[i]] ... ids[offsets[i + 1] - 1] */
  const int32_t* types;   /* [offsets[count]]: the tokens' types. NULL: 0; models without types take NULL only */
  const int64_t* attended; /* [count]: tokens of each text, from its start, that attention sees. NULL: all */
  const int64_t* spans; /* [span_count][2]: rows first to last of ids, half open, not empty, each inside one text, and
                           those of a text after those of earlier ones. They are pooled in the texts' place. NULL:
                           texts are */
  size_t span_count;
  const char*
      pooling;       /* instead of the model's: mean, first, last, max, sum, weighted_mean, mean_sqrt. NULL: its own */
  embedrt_stop stop; /* may be NULL */
  void* stop_context;
} embedrt_texts;

/* Runs a model once on texts, for all of the `target_count` targets, at least one. A text may be empty; it has its row
 * per text all the same. EMBEDRT_INPUT_ERROR names the text that the model does not take. */
EMBEDRT_API embedrt_status embedrt_run_texts(const embedrt_model* model, const embedrt_texts* texts,
                                             const embedrt_target* targets, size_t target_count, embedrt_error* error);

typedef struct embedrt_images {
  size_t size;
  size_t count;
  const uint8_t* pixels; /* [count][image_height][image_width][3], RGB */
  embedrt_stop stop;     /* may be NULL */
  void* stop_context;
} embedrt_images;

/* Runs a model on images. */
EMBEDRT_API embedrt_status embedrt_run_images(const embedrt_model* model, const embedrt_images* images,
                                              const embedrt_target* target, embedrt_error* error);

#ifdef __cplusplus
}
#endif

#endif /* EMBEDRT_H */
