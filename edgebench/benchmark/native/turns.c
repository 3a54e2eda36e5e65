/* Blocks of calls, timed when a conductor says so; between its turns the runner waits in a read. */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As in agent.py, which says how it was measured: calls that start so early in a turn are cold. */
enum { COLD_NS = 250000, MOST_COLD = 1000 };

static int replies = 1;

void keep_replies(void) {
    replies = dup(1);
    dup2(2, 1);
}

void reply(const struct text *line) {
    struct text whole = {0};
    append(&whole, "%s\n", line->bytes);
    if (write(replies, whole.bytes, whole.length) < 0) perror("conductor");
    free(whole.bytes);
}

size_t warm_up(struct engine *engine, const struct job *job, size_t rows, int64_t **timings) {
    int64_t limit = (int64_t)(job->max_s * 1e9), span = (int64_t)(job->warmup_s * 1e9), begin = now_ns();
    int64_t enough = begin + (span < limit ? span : limit);
    size_t done = 0, room = job->min_warmup_calls + rows;
    int64_t *latency = allocate(room * sizeof *latency);
    while (now_ns() < enough) {
        if (done + rows + job->min_warmup_calls > room) {
            room = 2 * room + rows;
            latency = realloc(latency, room * sizeof *latency);
            if (latency == NULL) fail("memory", "the device's memory is exhausted");
        }
        done += engine->measure(latency + done, rows, enough);
    }
    if (done < job->min_warmup_calls && now_ns() < begin + limit)
        done += engine->measure(latency + done, job->min_warmup_calls - done, begin + limit);
    *timings = latency;
    return done;
}

struct array timings(const char *name, const int64_t *latency, size_t count) {
    struct array array = {.rows = (int64_t)count, .form = {.dtype = dtype_of("<i8"), .data = latency}};
    snprintf(array.name, sizeof array.name, "%s", name);
    return array;
}

/* Calls as they were timed: in arrays beside each other, which have room for more. */
struct calls {
    int64_t *latency, *block, *turn;
    bool *cold;
    size_t count, room;
};

static void *larger(void *old, size_t bytes) {
    void *memory = realloc(old, bytes);
    if (memory == NULL) fail("memory", "the device's memory is exhausted");
    return memory;
}

static void make_room(struct calls *calls, size_t more) {
    if (calls->count + more <= calls->room) return;
    calls->room = 2 * calls->room + more;
    calls->latency = larger(calls->latency, calls->room * sizeof *calls->latency);
    calls->block = larger(calls->block, calls->room * sizeof *calls->block);
    calls->turn = larger(calls->turn, calls->room * sizeof *calls->turn);
    calls->cold = larger(calls->cold, calls->room * sizeof *calls->cold);
}

static void label(struct calls *calls, size_t count, int64_t block, int64_t turn, bool cold) {
    for (size_t end = calls->count + count; calls->count < end; calls->count++) {
        calls->block[calls->count] = block;
        calls->turn[calls->count] = turn;
        calls->cold[calls->count] = cold;
    }
}

/* One block as the order says: cold calls, then `calls` warm ones. Return how many warm ones there are. */
static size_t time_block(struct engine *engine, struct calls *calls, const char *order, int64_t *left_ns) {
    size_t asked = (size_t)json_number(order, "calls", 1);
    int64_t block = (int64_t)json_number(order, "block", 0), turn = (int64_t)json_number(order, "turn", 0);
    make_room(calls, asked + MOST_COLD);
    int64_t start = now_ns();
    size_t done = engine->measure(calls->latency + calls->count, MOST_COLD, start + COLD_NS);
    label(calls, done, block, turn, true);
    *left_ns -= now_ns() - start;
    start = now_ns();
    done = engine->measure(calls->latency + calls->count, asked, start + *left_ns);
    label(calls, done, block, turn, false);
    *left_ns -= now_ns() - start;
    return done;
}

static int by_size(const void *one, const void *other) {
    int64_t first = *(const int64_t *)one, second = *(const int64_t *)other;
    return (first > second) - (first < second);
}

static int64_t median_of(const int64_t *latency, size_t count) {
    int64_t *sorted = allocate(count * sizeof *sorted);
    memcpy(sorted, latency, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_size);
    int64_t median = sorted[count / 2];
    free(sorted);
    return median;
}

static const char *next_order(const struct text *answer, struct usage *idle) {
    static char line[512];
    struct usage since = take_usage();
    reply(answer);
    if (fgets(line, sizeof line, stdin) == NULL) fail("job", "the conductor is gone");
    add_usage(idle, &since);
    return line;
}

size_t take_turns(struct engine *engine, const struct job *job, size_t rows, struct array *arrays,
                  struct text *meta, struct usage *idle) {
    int64_t *warmup, left_ns = (int64_t)(job->max_s * 1e9);
    size_t warm = warm_up(engine, job, rows, &warmup);
    struct calls calls = {0};
    struct text answer = {0};
    if (warm == 0) warm = engine->measure(warmup, 1, 0);
    append(&answer, "{\"ready\": true, \"median_ns\": %lld}", (long long)median_of(warmup, warm));
    make_room(&calls, MOST_COLD);
    for (;;) {
        const char *order = next_order(&answer, idle);
        if (json_member(order, "calls") == NULL) break;
        size_t done = time_block(engine, &calls, order, &left_ns);
        answer.length = 0;
        append(&answer, "{\"calls\": %zu, \"spent\": %s}", done, left_ns <= 0 ? "true" : "false");
    }
    append_string(meta, "ended_by", left_ns <= 0 ? "time" : "calls");
    arrays[0] = timings("latency_ns", calls.latency, calls.count);
    arrays[1] = timings("block", calls.block, calls.count);
    arrays[2] = timings("turn", calls.turn, calls.count);
    arrays[3] = timings("cold", NULL, calls.count);
    arrays[3].form.dtype = dtype_of("|b1");
    arrays[3].form.data = calls.cold;
    arrays[4] = timings("warmup_ns", warmup, warm);
    return 5;
}
