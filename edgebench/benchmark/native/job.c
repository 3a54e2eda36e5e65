/* The job file. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

/* The strings of a list. */
static size_t strings(const char *value, char **to) {
    const char *items[MAX_TENSORS];
    size_t count = json_array(value, items, MAX_TENSORS);
    for (size_t i = 0; i < count; i++) {
        to[i] = json_string(items[i]);
        if (to[i] == NULL) fail("job", "the job has a list of which a part is no text");
    }
    return count;
}

/* Fail where the job lacks what its mode needs. */
static void check_keys(const char *text, const struct job *job) {
    static const char *const needed[] = {"runtime",  "library",          "model", "inputs", "threads",
                                         "warmup_s", "min_warmup_calls", "max_s", "calls"};
    struct text missing = {0};
    for (size_t i = 0; i < (job->accuracy ? 5 : job->turns ? 8 : 9); i++)
        if (json_member(text, needed[i]) == NULL)
            append(&missing, "%s%s", missing.length ? ", " : "", needed[i]);
    if (missing.length > 0) fail("job", "the job lacks %s", missing.bytes);
}

void read_job(const char *path, struct job *job) {
    char *text = read_file(path);
    job->result = json_string(json_member(text, "result"));
    if (json_number(text, "schema", 0) != 1)
        fail("job", "the job has schema %g, this runner knows 1", json_number(text, "schema", 0));
    char *mode = json_string(json_member(text, "mode"));
    job->accuracy = mode != NULL && strcmp(mode, "accuracy") == 0;
    job->turns = mode != NULL && strcmp(mode, "turns") == 0;
    if (mode == NULL || (!job->accuracy && !job->turns && strcmp(mode, "latency") != 0))
        fail("job", "unknown mode '%s'", mode == NULL ? "" : mode);
    check_keys(text, job);
    if (job->result == NULL) fail("job", "the job lacks result");
    job->runtime = json_string(json_member(text, "runtime"));
    job->library = json_string(json_member(text, "library"));
    job->library_version = json_string(json_member(text, "library_version"));
    job->model = json_string(json_member(text, "model"));
    job->avoid = json_string(json_member(text, "avoid"));
    if (job->runtime == NULL || job->library == NULL || job->model == NULL)
        fail("job", "the job's runtime, library and model are not all texts");
    job->input_count = strings(json_member(text, "inputs"), job->inputs);
    job->name_count = strings(json_member(text, "input_names"), job->names);
    job->threads = (int)json_number(text, "threads", 1);
    const char *cores[MAX_CORES];
    job->core_count = json_array(json_member(text, "affinity"), cores, MAX_CORES);
    for (size_t i = 0; i < job->core_count; i++) job->cores[i] = atoi(cores[i]);
    job->warmup_s = json_number(text, "warmup_s", 0);
    job->max_s = json_number(text, "max_s", 0);
    job->min_warmup_calls = (size_t)json_number(text, "min_warmup_calls", 0);
    job->calls = (size_t)json_number(text, "calls", job->accuracy || job->turns ? 0 : 1);
    job->watch_stdin = json_true(json_member(text, "watch_stdin"));
    free(mode);
    free(text);
}
