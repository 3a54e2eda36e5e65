/* The conductor: starts a runner per artifact and lets them time their calls in turn, as conductor.py does.

   The job is conductor.py's; `command` is what stands before the path of an agent's job. Orders differ from
   those of conductor.py with the same seed, but are the same each time. */
#include "player.h"
#include "runner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* As in conductor.py: how long a block of the slowest artifact's calls is to take, and how many a session
 * has. */
enum { BLOCK_NS = 10000000, FEWEST_BLOCKS = 10, MOST_BLOCKS = 40, SAID_BYTES = 2000 };

static char *command[64];
static size_t words;
static const char *job_paths[MAX_TENSORS];
static double turn_s;
static size_t calls_of_each;
static uint64_t state;

static void seed_from(const char *text) {
    state = 0xCBF29CE484222325u; /* FNV-1a */
    for (; *text != '\0'; text++) state = (state ^ (unsigned char)*text) * 0x100000001B3u;
}

static uint64_t next_random(void) { /* SplitMix64 */
    uint64_t mixed = state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

static void shuffle(size_t *order, size_t count) {
    for (size_t i = 0; i < count; i++) order[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t other = next_random() % i, kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

/* --- all of them -------------------------------------------------------------------------------- */

static size_t calls_per_block(size_t slowest_ns) {
    size_t most = calls_of_each / FEWEST_BLOCKS, calls = BLOCK_NS / slowest_ns;
    if (calls < calls_of_each / MOST_BLOCKS) calls = calls_of_each / MOST_BLOCKS;
    if (calls < 1) calls = 1;
    if (most < 1) most = 1;
    return calls < most ? calls : most;
}

/* Give a player its block. */
static void take_turn(struct player *player, size_t block, size_t turn, size_t calls) {
    char order[128];
    snprintf(order, sizeof order, "{\"block\": %zu, \"turn\": %zu, \"calls\": %zu}\n", block, turn,
             calls < player->left ? calls : player->left);
    const char *answer = tell(player, order) ? hear(player, turn_s) : NULL;
    if (answer == NULL) {
        player->out = true;
        let_end(player, turn_s);
        return;
    }
    size_t done = (size_t)json_number(answer, "calls", 0);
    player->left = done < player->left ? player->left - done : 0;
    player->out = player->left == 0 || json_true(json_member(answer, "spent"));
}

/* Round after round, each player that has calls left times one block of them. */
static void play(struct player *players, size_t count, size_t calls) {
    size_t order[MAX_TENSORS], turn = 0, before = 1;
    for (size_t block = 0; turn != before; block++) {
        before = turn;
        shuffle(order, count);
        for (size_t i = 0; i < count; i++)
            if (!players[order[i]].out) take_turn(&players[order[i]], block, turn++, calls);
    }
}

/* Start an agent and hear that it is ready; return the median of its warm-up, 0 where it is not. */
static size_t prepare_player(struct player *player, const char *job) {
    start_player(player, command, words, job);
    player->left = calls_of_each;
    const char *ready = hear(player, turn_s);
    player->out = ready == NULL;
    if (ready == NULL) let_end(player, turn_s);
    return ready == NULL ? 0 : (size_t)json_number(ready, "median_ns", 1);
}

/* Let agents live at the same time and play. Return false where the device's memory does not hold them. */
static bool perform(struct player *players, const char *const *jobs, size_t count, size_t *block_calls) {
    size_t order[MAX_TENSORS], slowest_ns = 1;
    bool fits = true;
    for (size_t i = 0; i < count; i++) players[i].ended = true;
    shuffle(order, count);
    for (size_t i = 0; i < count && fits; i++) {
        struct player *player = &players[order[i]];
        size_t median_ns = prepare_player(player, jobs[order[i]]);
        if (median_ns > slowest_ns) slowest_ns = median_ns;
        fits = count == 1 || median_ns > 0 || !lacked_memory(player, turn_s);
    }
    *block_calls = calls_per_block(slowest_ns);
    if (fits) play(players, count, *block_calls);
    for (size_t i = 0; i < count && fits; i++)
        fits = count == 1 || !players[i].ended || !lacked_memory(&players[i], turn_s);
    for (size_t i = 0; i < count; i++) {
        if (players[i].ended) continue;
        if (fits && tell(&players[i], "{\"end\": true}\n"))
            let_end(&players[i], turn_s);
        else
            kill_player(&players[i]);
    }
    return fits;
}

/* --- the result ---------------------------------------------------------------------------------- */

static double cpu_s(void) {
    double sum = 0;
    struct rusage usage;
    for (int who = 0; who < 2; who++) {
        if (getrusage(who == 0 ? RUSAGE_SELF : RUSAGE_CHILDREN, &usage) != 0) continue;
        sum += (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
        sum += (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    }
    return sum;
}

/* The last words of an agent, in ASCII. */
static void append_said(struct text *text, const char *path) {
    char said[SAID_BYTES + 1];
    size_t got = 0;
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        if (fseek(file, -SAID_BYTES, SEEK_END) != 0) rewind(file);
        got = fread(said, 1, SAID_BYTES, file);
        fclose(file);
    }
    said[got] = '\0';
    for (char *at = said; at < said + got; at++)
        if ((*at & 0x80) != 0 || *at == '\0') *at = '?';
    append_string(text, "said", said);
}

static void append_outcome(struct text *text, const struct player *player, bool first) {
    append(text, first ? "{\"status\": " : ", {\"status\": ");
    append(text, player->status == HUNG ? "null" : "%d", player->status);
    append(text, ", \"avoid\": null");
    append_said(text, player->said);
    append(text, "}");
}

/* Write text whole or not at all; return 0 or the error's number. */
static int write_text(const char *path, const struct text *text) {
    struct text temporary = {0};
    append(&temporary, "%s.%ld.part", path, (long)getpid());
    FILE *file = fopen(temporary.bytes, "wb");
    if (file == NULL) return errno;
    fwrite(text->bytes, 1, text->length, file);
    int failed = fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0 ? (errno ? errno : EIO) : 0;
    if (fclose(file) != 0 && failed == 0) failed = errno;
    if (failed == 0 && rename(temporary.bytes, path) != 0) failed = errno;
    if (failed != 0) unlink(temporary.bytes);
    return failed;
}

static size_t read_strings(const char *object, const char *key, char **to, size_t most) {
    const char *items[MAX_TENSORS];
    size_t count = json_array(json_member(object, key), items, most);
    for (size_t i = 0; i < count; i++)
        if ((to[i] = json_string(items[i])) == NULL) fail("job", "the job's %s are not all texts", key);
    return count;
}

int conduct(const char *job_path) {
    static struct player players[MAX_TENSORS];
    static char *jobs[MAX_TENSORS], *results[MAX_TENSORS];
    char *job = read_file(job_path), *result = json_string(json_member(job, "result"));
    char *seed = json_string(json_member(job, "seed"));
    words = read_strings(job, "command", command, sizeof command / sizeof *command - 2);
    size_t count = read_strings(job, "jobs", jobs, MAX_TENSORS),
           old = read_strings(job, "results", results, MAX_TENSORS);
    calls_of_each = (size_t)json_number(job, "calls", 1);
    turn_s = json_number(job, "turn_s", 1);
    if (result == NULL || seed == NULL || words == 0 || count == 0)
        fail("job", "the job lacks result, seed, command or jobs");
    die_with_parent(true);
    signal(SIGPIPE, SIG_IGN);
    unlink(result);
    for (size_t i = 0; i < old; i++) unlink(results[i]);
    memcpy(job_paths, jobs, sizeof jobs);
    seed_from(seed);
    size_t block_calls, least;
    bool together = perform(players, job_paths, count, &block_calls);
    for (size_t i = 0; i < count && !together; i++) {
        perform(&players[i], &job_paths[i], 1, &least);
        block_calls = least < block_calls || i == 0 ? least : block_calls;
    }
    struct text told = {0};
    append(&told, "{\"schema\": 1, \"together\": %s, \"block_calls\": %zu", together ? "true" : "false",
           block_calls);
    append(&told, ", \"cpu_s\": %.9g, \"agents\": [", cpu_s());
    for (size_t i = 0; i < count; i++) append_outcome(&told, &players[i], i == 0);
    append(&told, "]}\n");
    int failed = write_text(result, &told);
    if (failed != 0) fail("storage", "%s: %s", result, strerror(failed));
    return 0;
}
