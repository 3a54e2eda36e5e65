/* The native runner: runs one job on the device and writes one result file, as agent.py does, without Python.

       runner job.json             run a job
       runner --conduct job.json   let several jobs' calls be timed in turn, as conductor.py does
       runner --probe              print what this is, as JSON

   It needs a C library and the runtime's shared library, which the job names as `library`, with its version
   as `library_version` for runtimes that do not tell theirs. Jobs, results, kinds of errors and exit statuses
   are agent.py's. Inputs are C-ordered .npy files of numbers in this machine's byte order. */
#include "runner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define PROCESS "fresh native process per session"
#define CLOCK "CLOCK_MONOTONIC"

static struct job job;

static void begin_meta(struct text *meta) {
    append(meta, "{\"schema\": 1");
}

_Noreturn void fail(const char *kind, const char *format, ...) {
    struct text meta = {0}, message = {0};
    char words[600];
    va_list list;
    va_start(list, format);
    vsnprintf(words, sizeof words, format, list);
    va_end(list);
    for (char *word = strtok(words, " \t\r\n"); word != NULL; word = strtok(NULL, " \t\r\n"))
        append(&message, "%s%s", message.length ? " " : "", word);
    begin_meta(&meta);
    append_string(&meta, "error", message.bytes);
    append_string(&meta, "kind", kind);
    append(&meta, "}");
    fprintf(stderr, "%s: %s\n", kind, message.bytes);
    if (job.turns) reply(&meta);
    if (job.result != NULL) write_result(job.result, NULL, 0, &meta);
    exit(1);
}

void *allocate(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, bytes + 64) != 0) fail("memory", "the device's memory is exhausted");
    memset(memory, 0, bytes);
    return memory;
}

static struct engine *find_engine(void) {
    if (strcmp(job.runtime, "onnxruntime") == 0) return &onnxruntime_engine;
    if (strcmp(job.runtime, "litert") == 0) return &litert_engine;
    fail("job", "unknown runtime '%s'", job.runtime);
}

static size_t read_columns(struct column *columns) {
    for (size_t i = 0; i < job.input_count; i++) {
        read_column(job.inputs[i], &columns[i]);
        if (columns[i].rows != columns[0].rows)
            fail("input", "the inputs have %zu and %zu rows", columns[0].rows, columns[i].rows);
    }
    if (job.input_count == 0 || columns[0].rows == 0) fail("input", "there are no rows");
    return columns[0].rows;
}

static void copy_row(const struct column *columns, size_t count, size_t row, void **memory) {
    for (size_t i = 0; i < count; i++)
        memcpy(memory[i], columns[i].data + row * columns[i].row.bytes, columns[i].row.bytes);
}

/* Memory for the inputs of `slots` calls, filled with the first rows. */
static void **lay_out(const struct column *columns, size_t count, size_t slots) {
    void **memory = allocate(slots * count * sizeof *memory);
    for (size_t slot = 0; slot < slots; slot++) {
        for (size_t i = 0; i < count; i++) memory[slot * count + i] = allocate(columns[i].row.bytes);
        copy_row(columns, count, slot, &memory[slot * count]);
    }
    return memory;
}

static void append_bytes(struct text *meta, const char *key, int64_t bytes) {
    append(meta, bytes < 0 ? ", \"%s\": null" : ", \"%s\": %lld", key, (long long)bytes);
}

/* Load the model, make its first call, and tell what that cost. Return the inputs' memory. */
static void **set_up(struct engine *engine, const struct column *columns, size_t slots, struct text *meta) {
    engine->open(engine, &job);
    int64_t before = status_bytes("VmRSS"), start = now_ns(), first_ns;
    engine->load(engine, &job);
    int64_t load_ns = now_ns() - start;
    size_t takes = engine->arrange(engine, &job, columns);
    if (takes != job.input_count)
        fail("input", "the model takes %zu inputs, given %zu", takes, job.input_count);
    void **memory = lay_out(columns, takes, slots);
    engine->prepare(slots, memory);
    engine->measure(&first_ns, 1, INT64_MAX);
    int64_t after = status_bytes("VmRSS");
    append(meta, ", \"load_ns\": %lld, \"first_ns\": %lld", (long long)load_ns, (long long)first_ns);
    append_bytes(meta, "model_rss_bytes", before < 0 ? before : after > before ? after - before : 0);
    return memory;
}

static size_t measure_latency(struct engine *engine, size_t rows, struct array *arrays, struct text *meta) {
    int64_t *latency = allocate(job.calls * sizeof *latency), *warmup;
    size_t warm = warm_up(engine, &job, rows, &warmup);
    size_t done = engine->measure(latency, job.calls, now_ns() + (int64_t)(job.max_s * 1e9));
    append_string(meta, "ended_by", done == job.calls ? "calls" : "time");
    arrays[0] = timings("latency_ns", latency, done);
    arrays[1] = timings("warmup_ns", warmup, warm);
    return 2;
}

/* Take the outputs of row `row` into the arrays, which the first row shapes. */
static void keep(struct array *arrays, const struct tensor *answers, size_t count, size_t row, size_t rows) {
    for (size_t i = 0; i < count; i++) {
        struct array *array = &arrays[i];
        if (row == 0) {
            snprintf(array->name, sizeof array->name, "output_%zu", i);
            array->form = answers[i];
            array->rows = (int64_t)rows;
            array->form.data = allocate(rows * answers[i].bytes);
        }
        if (!same_form(&array->form, &answers[i]))
            fail("input", "output %zu of row %zu is %s, that of row 0 %s", i, row, form_of(&answers[i]),
                 form_of(&array->form));
        memcpy((char *)array->form.data + row * answers[i].bytes, answers[i].data, answers[i].bytes);
    }
}

static size_t take_answers(struct engine *engine, const struct column *columns, void **memory,
                           struct array *arrays) {
    struct tensor answers[MAX_TENSORS];
    size_t count = 0;
    for (size_t row = 0; row < columns[0].rows; row++) {
        copy_row(columns, job.input_count, row, memory);
        count = engine->answer(answers);
        keep(arrays, answers, count, row, columns[0].rows);
    }
    return count;
}

static void tell(struct text *meta, const struct engine *engine, size_t rows) {
    append_string(meta, "runtime_version", engine->version);
    append_string(meta, "provider", engine->provider);
    append_string(meta, "coverage", engine->coverage);
    append_string(meta, "timed", engine->timed);
    append_string(meta, "process", PROCESS);
    append_string(meta, "clock", CLOCK);
    append(meta, ", \"threads\": %d, \"rows\": %zu, \"affinity\": [", job.threads, rows);
    for (size_t i = 0; i < job.core_count; i++) append(meta, "%s%d", i ? ", " : "", job.cores[i]);
    append(meta, "]");
    append_bytes(meta, "peak_rss_bytes", status_bytes("VmHWM"));
    append_bytes(meta, "steady_rss_bytes", status_bytes("VmRSS"));
    struct utsname system;
    char words[400] = "unknown";
    if (uname(&system) == 0)
        snprintf(words, sizeof words, "%s-%s-%s", system.sysname, system.release, system.machine);
    append_string(meta, "system", words);
}

static void run(void) {
    static struct column columns[MAX_TENSORS];
    static struct array arrays[MAX_TENSORS + 2];
    struct usage before = take_usage(), idle = {0};
    struct text meta = {0};
    bind_cores(&job);
    size_t rows = read_columns(columns);
    struct engine *engine = find_engine();
    begin_meta(&meta);
    void **memory = set_up(engine, columns, job.accuracy ? 1 : rows, &meta);
    size_t count = job.accuracy ? take_answers(engine, columns, memory, arrays)
                   : job.turns  ? take_turns(engine, &job, rows, arrays, &meta, &idle)
                                : measure_latency(engine, rows, arrays, &meta);
    tell(&meta, engine, rows);
    append_strain(&meta, &before, &idle);
    append(&meta, "}");
    int failed = write_result(job.result, arrays, count, &meta);
    if (failed != 0) fail("storage", "%s: %s", job.result, strerror(failed));
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--conduct") == 0) return conduct(argv[2]);
    if (argc != 2) {
        fprintf(stderr, "runner JOB.json | --conduct JOB.json | --probe\n");
        return 2;
    }
    if (strcmp(argv[1], "--probe") == 0) {
        puts("{\"schema\": 1, \"runner\": \"native\", \"packages\": {}}");
        return 0;
    }
    read_job(argv[1], &job);
    die_with_parent(job.watch_stdin && !job.turns);
    if (job.turns) keep_replies();
    run();
    return 0;
}
