/* ONNX Runtime through its C interface, found in the shared library at run time.

   The library exports one function, OrtGetApiBase, that gives a table of functions. Version 1 of the table is
   closed and every later version begins with it, so the places below hold for every release since 1.0; a
   check of what the functions do guards them all the same. The interface: ONNX Runtime's C API reference. */
#include "runner.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*function)(void);
typedef void *status; /* NULL is success */

/* Places in the table. */
enum {
    CREATE_STATUS = 0,
    GET_ERROR_CODE = 1,
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_SESSION_LOG_SEVERITY_LEVEL = 22,
    SET_INTRA_OP_NUM_THREADS = 24,
    SET_INTER_OP_NUM_THREADS = 25,
    SESSION_GET_INPUT_COUNT = 30,
    SESSION_GET_OUTPUT_COUNT = 31,
    SESSION_GET_INPUT_NAME = 36,
    SESSION_GET_OUTPUT_NAME = 37,
    CREATE_TENSOR_WITH_DATA = 49,
    IS_TENSOR = 50,
    GET_TENSOR_MUTABLE_DATA = 51,
    GET_TENSOR_ELEMENT_TYPE = 60,
    GET_DIMENSIONS_COUNT = 61,
    GET_DIMENSIONS = 62,
    GET_TENSOR_TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    GET_ALLOCATOR_WITH_DEFAULT_OPTIONS = 78,
    RELEASE_STATUS = 93,
    RELEASE_VALUE = 96,
    RELEASE_TENSOR_TYPE_AND_SHAPE_INFO = 99,
};
enum { INVALID_ARGUMENT = 2, ARENA_ALLOCATOR = 1, MEMORY_DEFAULT = 0, LOG_ERROR = 3 };

struct base {
    const function *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};

/* A call of the table: CALL(RUN, (void *, …), session, …). */
#define CALL(place, types, ...) (((status(*) types)api[place])(__VA_ARGS__))

typedef status run_function(void *session, const void *options, const char *const *input_names,
                            const void *const *inputs, size_t input_count, const char *const *output_names,
                            size_t output_count, void **outputs);

static const function *api;
static void *environment, *session, *memory_info;
static size_t inputs, outputs, slots;
static const struct column *taken;
static char *input_names[MAX_TENSORS], *output_names[MAX_TENSORS];
static void **values;            /* values[slot * inputs + input] */
static void *given[MAX_TENSORS]; /* the outputs of a call */

static const char *message_of(status failed) {
    return ((const char *(*)(status))api[GET_ERROR_MESSAGE])(failed);
}

static void check(status failed, const char *kind, const char *what) {
    if (failed != NULL) fail(kind, "%s: %s", what, message_of(failed));
}

/* Fail where the table is not the one that the places above are of. */
static void check_table(void) {
    status made = CALL(CREATE_STATUS, (int, const char *), 7, "edgebench");
    bool right = made != NULL && ((int (*)(status))api[GET_ERROR_CODE])(made) == 7 &&
                 strcmp(message_of(made), "edgebench") == 0;
    if (right) ((void (*)(status))api[RELEASE_STATUS])(made);
    float element = 0;
    int64_t shape[2] = {1, 1}, dims[2] = {0, 0};
    void *value = NULL, *form = NULL, *data = NULL;
    size_t rank = 0;
    int type = 0, tensor = 0;
    right = right &&
            CALL(CREATE_CPU_MEMORY_INFO, (int, int, void **), ARENA_ALLOCATOR, MEMORY_DEFAULT,
                 &memory_info) == NULL &&
            CALL(CREATE_TENSOR_WITH_DATA, (void *, void *, size_t, const int64_t *, size_t, int, void **),
                 memory_info, &element, sizeof element, shape, 2, 1, &value) == NULL &&
            CALL(IS_TENSOR, (void *, int *), value, &tensor) == NULL && tensor == 1 &&
            CALL(GET_TENSOR_MUTABLE_DATA, (void *, void **), value, &data) == NULL && data == &element &&
            CALL(GET_TENSOR_TYPE_AND_SHAPE, (void *, void **), value, &form) == NULL &&
            CALL(GET_TENSOR_ELEMENT_TYPE, (void *, int *), form, &type) == NULL && type == 1 &&
            CALL(GET_DIMENSIONS_COUNT, (void *, size_t *), form, &rank) == NULL && rank == 2 &&
            CALL(GET_DIMENSIONS, (void *, int64_t *, size_t), form, dims, 2) == NULL && dims[0] == 1 &&
            dims[1] == 1;
    if (!right) fail("runtime_missing", "the library's table of functions is not that of ONNX Runtime");
    ((void (*)(void *))api[RELEASE_TENSOR_TYPE_AND_SHAPE_INFO])(form);
    ((void (*)(void *))api[RELEASE_VALUE])(value);
}

static void open_library(struct engine *engine, const struct job *job) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 1); /* else releases from 1.32 write a database */
    void *library = dlopen(job->library, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) fail("runtime_missing", "onnxruntime is not here: %s", dlerror());
    void *symbol = dlsym(library, "OrtGetApiBase");
    const struct base *(*get_base)(void);
    memcpy(&get_base, &symbol, sizeof symbol);
    if (symbol == NULL) fail("runtime_missing", "%s is not ONNX Runtime", job->library);
    const struct base *base = get_base();
    snprintf(engine->version, sizeof engine->version, "%s", base->get_version());
    api = base->get_api(1);
    if (api == NULL)
        fail("runtime_missing", "ONNX Runtime %s has no version 1 of its interface", engine->version);
    check_table();
    check(CALL(CREATE_ENV, (int, const char *, void **), LOG_ERROR, "edgebench", &environment),
          "runtime_missing", "onnxruntime");
}

static void load(struct engine *engine, const struct job *job) {
    void *options;
    (void)engine;
    check(CALL(CREATE_SESSION_OPTIONS, (void **), &options), "model", "session options");
    check(CALL(SET_INTRA_OP_NUM_THREADS, (void *, int), options, job->threads), "model", "threads");
    check(CALL(SET_INTER_OP_NUM_THREADS, (void *, int), options, 1), "model", "threads");
    check(CALL(SET_SESSION_LOG_SEVERITY_LEVEL, (void *, int), options, LOG_ERROR), "model", "log level");
    check(CALL(CREATE_SESSION, (void *, const char *, void *, void **), environment, job->model, options,
               &session),
          "model", "the model cannot be loaded");
}

/* Ask for the names of all inputs or outputs; return how many there are. */
static size_t ask_names(int count_place, int name_place, char **names) {
    size_t count;
    void *allocator;
    check(CALL(GET_ALLOCATOR_WITH_DEFAULT_OPTIONS, (void **), &allocator), "model", "allocator");
    check(CALL(count_place, (void *, size_t *), session, &count), "model", "the model's tensors");
    if (count > MAX_TENSORS) fail("model", "the model has over %d inputs or outputs", MAX_TENSORS);
    for (size_t i = 0; i < count; i++)
        check(CALL(name_place, (void *, size_t, void *, char **), session, i, allocator, &names[i]), "model",
              "a name");
    return count;
}

/* Whether the job names just the model's inputs. */
static bool names_all(const struct job *job) {
    size_t known = 0;
    for (size_t i = 0; i < job->name_count; i++)
        for (size_t k = 0; k < inputs; k++) known += strcmp(job->names[i], input_names[k]) == 0;
    return known == job->name_count && known > 0;
}

static size_t arrange(struct engine *engine, const struct job *job, const struct column *columns) {
    (void)engine;
    taken = columns;
    inputs = ask_names(SESSION_GET_INPUT_COUNT, SESSION_GET_INPUT_NAME, input_names);
    outputs = ask_names(SESSION_GET_OUTPUT_COUNT, SESSION_GET_OUTPUT_NAME, output_names);
    if (names_all(job)) {
        inputs = job->name_count;
        memcpy(input_names, job->names, inputs * sizeof *input_names);
    }
    return inputs;
}

static void prepare(size_t count, void *const *memory) {
    slots = count;
    values = allocate(slots * inputs * sizeof *values);
    for (size_t i = 0; i < slots * inputs; i++) {
        const struct tensor *form = &taken[i % inputs].row;
        check(CALL(CREATE_TENSOR_WITH_DATA, (void *, void *, size_t, const int64_t *, size_t, int, void **),
                   memory_info, memory[i], form->bytes, form->dims, (size_t)form->rank,
                   form->dtype->onnxruntime, &values[i]),
              "input", "an input");
    }
}

static _Noreturn void refuse(status failed) {
    int code = ((int (*)(status))api[GET_ERROR_CODE])(failed);
    fail(code == INVALID_ARGUMENT ? "input" : "model", "the model's call failed: %s", message_of(failed));
}

static size_t measure(int64_t *latency, size_t count, int64_t deadline) {
    run_function *run = (run_function *)api[RUN];
    void (*release)(void *) = (void (*)(void *))api[RELEASE_VALUE];
    const char *const *takes = (const char *const *)input_names, *const *gives =
                                                                     (const char *const *)output_names;
    for (size_t done = 0, slot = 0; done < count; done++) {
        const void *const *feed = (const void *const *)&values[slot * inputs];
        int64_t start = now_ns();
        status failed = run(session, NULL, takes, feed, inputs, gives, outputs, given);
        for (size_t i = 0; i < outputs; i++) {
            release(given[i]);
            given[i] = NULL;
        }
        int64_t end = now_ns();
        latency[done] = end - start;
        if (failed != NULL) refuse(failed);
        if (end >= deadline) return done + 1;
        slot = slot + 1 == slots ? 0 : slot + 1;
    }
    return count;
}

/* Put what an output is into `output`. */
static void describe(void *value, struct tensor *output) {
    void *form, *data;
    size_t rank;
    int type, is_tensor;
    check(CALL(IS_TENSOR, (void *, int *), value, &is_tensor), "model", "an output");
    if (!is_tensor) fail("model", "an output is not a tensor");
    check(CALL(GET_TENSOR_TYPE_AND_SHAPE, (void *, void **), value, &form), "model", "an output");
    check(CALL(GET_TENSOR_ELEMENT_TYPE, (void *, int *), form, &type), "model", "an output");
    check(CALL(GET_DIMENSIONS_COUNT, (void *, size_t *), form, &rank), "model", "an output");
    output->dtype = dtype_of_onnxruntime(type);
    if (output->dtype == NULL || rank > MAX_RANK)
        fail("model", "an output of element type %d, rank %zu: not known here", type, rank);
    output->rank = (int)rank;
    check(CALL(GET_DIMENSIONS, (void *, int64_t *, size_t), form, output->dims, rank), "model", "an output");
    ((void (*)(void *))api[RELEASE_TENSOR_TYPE_AND_SHAPE_INFO])(form);
    check(CALL(GET_TENSOR_MUTABLE_DATA, (void *, void **), value, &data), "model", "an output");
    output->data = data;
    output->bytes = count_bytes(output);
}

static size_t answer(struct tensor *answers) {
    for (size_t i = 0; i < outputs; i++) {
        if (given[i] != NULL) ((void (*)(void *))api[RELEASE_VALUE])(given[i]);
        given[i] = NULL;
    }
    status failed = ((run_function *)api[RUN])(session, NULL, (const char *const *)input_names,
                                               (const void *const *)values, inputs,
                                               (const char *const *)output_names, outputs, given);
    if (failed != NULL) refuse(failed);
    for (size_t i = 0; i < outputs; i++) describe(given[i], &answers[i]);
    return outputs;
}

struct engine onnxruntime_engine = {
    .timed =
        "OrtApi::Run: input tensors ready in memory before the clock starts; the outputs' allocation and "
        "release are inside",
    .provider = "CPUExecutionProvider",
    .coverage = "every node",
    .open = open_library,
    .load = load,
    .arrange = arrange,
    .prepare = prepare,
    .measure = measure,
    .answer = answer,
};
