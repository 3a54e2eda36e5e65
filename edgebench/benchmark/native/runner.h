/* The native runner's parts. runner.c says what the whole does. */
#ifndef EDGEBENCH_RUNNER_H
#define EDGEBENCH_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { MAX_TENSORS = 64, MAX_RANK = 16, MAX_CORES = 1024, NAME_BYTES = 32 };

/* --- runner.c ------------------------------------------------------------------------------- */

/* Write an error as the result, say it on standard error, and end with status 1. */
_Noreturn void fail(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory of `bytes`, zeroed, at a multiple of 64 bytes; fails where there is none. */
void *allocate(size_t bytes);

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- text.c: JSON, in and out ----------------------------------------------------------------- */

/* The value of `key` in the object at `object`, NULL where it has none. These fail where it is not JSON. */
const char *json_member(const char *object, const char *key);
/* A copy of the string at `value`, NULL where it is no string. */
char *json_string(const char *value);
/* How many values the array at `value` has, their places in `items`; 0 where it is no array. */
size_t json_array(const char *value, const char **items, size_t most);
/* The number at `key` of the object; fails where it is less than `least`, is that where there is none. */
double json_number(const char *object, const char *key, double least);
/* A copy of a file. */
char *read_file(const char *path);
bool json_true(const char *value);
bool json_null(const char *value);

/* Text that grows. */
struct text {
    char *bytes;
    size_t length, room;
};
void append(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* `, "key": "value"`, the value escaped. */
void append_string(struct text *text, const char *key, const char *value);

/* --- job.c ------------------------------------------------------------------------------------ */

/* What the host asks for, as agent.py describes it; `library` is the runtime's shared library. */
struct job {
    char *runtime, *library, *library_version, *model, *result, *avoid;
    char *inputs[MAX_TENSORS], *names[MAX_TENSORS];
    size_t input_count, name_count;
    bool accuracy, turns, watch_stdin;
    int threads, cores[MAX_CORES];
    size_t core_count;
    double warmup_s, max_s;
    size_t min_warmup_calls, calls;
};
void read_job(const char *path, struct job *job);

/* --- arrays.c: .npy in, .npz out -------------------------------------------------------------- */

/* An element type: numpy's name, its bytes, and what the runtimes call it; 0 where one has no such type. */
struct dtype {
    const char *descr, *name;
    size_t bytes;
    int onnxruntime, litert;
};
const struct dtype *dtype_of(const char *descr);
const struct dtype *dtype_of_onnxruntime(int type);
const struct dtype *dtype_of_litert(int type);

/* A tensor of one call. */
struct tensor {
    const struct dtype *dtype;
    int rank;
    int64_t dims[MAX_RANK];
    size_t bytes;
    const void *data;
};
size_t count_bytes(const struct tensor *tensor);
bool same_form(const struct tensor *one, const struct tensor *other);
/* `float32(1, 3, 32, 32)`, for messages. */
const char *form_of(const struct tensor *tensor);

/* An input's rows, one per call, in a file that is mapped. */
struct column {
    struct tensor row;
    size_t rows;
    const unsigned char *data;
};
void read_column(const char *path, struct column *column);

/* An array of a result. rows: of the shape's first place; -1 leaves it out. */
struct array {
    char name[NAME_BYTES];
    struct tensor form;
    int64_t rows;
};
/* Write arrays and meta as .npz, whole or not at all; return 0 or the error's number. */
int write_result(const char *path, const struct array *arrays, size_t count, const struct text *meta);

/* --- machine.c -------------------------------------------------------------------------------- */

struct usage {
    double wall_s, waited_s, total, stolen;
};
void die_with_parent(bool watch_stdin);
/* Bind to the job's cores, and put those that may be used into it. */
void bind_cores(struct job *job);
/* A size of /proc/self/status in bytes, -1 where the system does not tell. */
int64_t status_bytes(const char *key);
struct usage take_usage(void);
/* idle: what of each passed between turns, which is not this process's time. */
void append_strain(struct text *meta, const struct usage *before, const struct usage *idle);
/* Add to `sum` what passed since `since`. */
void add_usage(struct usage *sum, const struct usage *since);

/* --- onnxruntime.c, litert.c ------------------------------------------------------------------ */

/* A runtime with one model in it. Every function fails by itself. */
struct engine {
    const char *timed;
    char version[64], provider[64], coverage[96];
    /* Find the library and what is needed of it. */
    void (*open)(struct engine *engine, const struct job *job);
    /* Read the model and make it ready. */
    void (*load)(struct engine *engine, const struct job *job);
    /* Put the model's inputs in the order of the columns, sized as they are; return how many it takes. */
    size_t (*arrange)(struct engine *engine, const struct job *job, const struct column *columns);
    /* Make calls possible: memory[slot * inputs + input] holds the input of a call. */
    void (*prepare)(size_t slots, void *const *memory);
    /* Time calls, going round the slots; return how many. The call in which `deadline` comes is the last. */
    size_t (*measure)(int64_t *latency, size_t count, int64_t deadline);
    /* Call on slot 0; put the outputs, valid until the next call, into `outputs`, and return how many. */
    size_t (*answer)(struct tensor *outputs);
};
extern struct engine onnxruntime_engine, litert_engine;

/* --- turns.c, conductor.c ----------------------------------------------------------------------- */

/* Calls that take `warmup_s`, and then those that `min_warmup_calls` lacks. Return how many. */
size_t warm_up(struct engine *engine, const struct job *job, size_t rows, int64_t **timings);
struct array timings(const char *name, const int64_t *latency, size_t count);
/* Time blocks of calls as a conductor orders them; add to `idle` what passed between them. */
size_t take_turns(struct engine *engine, const struct job *job, size_t rows, struct array *arrays,
                  struct text *meta, struct usage *idle);
/* Give the conductor an answer in one line. */
void reply(const struct text *line);
/* Keep standard output for answers: what a runtime prints must not be taken for one. */
void keep_replies(void);
/* Let a job's agents, each `command` with a job's path, time their calls in turn; return the exit status. */
int conduct(const char *job_path);

#endif
