/* The process and its machine. */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *watch(void *unused) {
    char block[256];
    ssize_t got;
    do got = read(0, block, sizeof block);
    while (got > 0 || (got < 0 && errno == EINTR));
    _exit(125);
    return unused;
}

/* By the kernel where the parent is the host; by standard input's end where there is a link between. */
void die_with_parent(bool watch_stdin) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_t thread;
    if (watch_stdin && pthread_create(&thread, NULL, watch, NULL) == 0) pthread_detach(thread);
}

void bind_cores(struct job *job) {
    cpu_set_t set;
    CPU_ZERO(&set);
    struct text asked = {0};
    for (size_t i = 0; i < job->core_count; i++) {
        if (job->cores[i] >= 0 && job->cores[i] < CPU_SETSIZE) CPU_SET(job->cores[i], &set);
        append(&asked, "%s%d", i ? ", " : "", job->cores[i]);
    }
    if (job->core_count > 0 && sched_setaffinity(0, sizeof set, &set) != 0)
        fail("affinity", "cannot be bound to cores [%s]: %s", asked.bytes, strerror(errno));
    free(asked.bytes);
    job->core_count = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return;
    for (int core = 0; core < CPU_SETSIZE && job->core_count < MAX_CORES; core++)
        if (CPU_ISSET(core, &set)) job->cores[job->core_count++] = core;
}

/* Fill `content` from a small file of /proc; return whether that worked. */
static bool read_small(const char *path, char *content, size_t room) {
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    size_t got = fread(content, 1, room - 1, file);
    content[got] = '\0';
    fclose(file);
    return got > 0;
}

int64_t status_bytes(const char *key) {
    char content[8192];
    if (!read_small("/proc/self/status", content, sizeof content)) return -1;
    for (char *line = content; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            return (int64_t)strtoll(line + strlen(key) + 1, NULL, 10) * 1024;
    }
    return -1;
}

/* The seconds that this process's threads stood ready without a core, -1 where the system does not tell. */
static double waited_s(void) {
    DIR *tasks = opendir("/proc/self/task");
    double waited = 0;
    if (tasks == NULL) return -1;
    for (struct dirent *task = readdir(tasks); task != NULL && waited >= 0; task = readdir(tasks)) {
        if (task->d_name[0] == '.') continue;
        char path[64], content[128];
        unsigned long long ran, ready;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", task->d_name);
        bool told =
            read_small(path, content, sizeof content) && sscanf(content, "%llu %llu", &ran, &ready) == 2;
        waited = told ? waited + (double)ready / 1e9 : -1;
    }
    closedir(tasks);
    return waited;
}

struct usage take_usage(void) {
    struct usage usage = {
        .wall_s = (double)now_ns() / 1e9, .waited_s = waited_s(), .total = -1, .stolen = -1};
    char content[512];
    unsigned long long t[8];
    if (read_small("/proc/stat", content, sizeof content) &&
        sscanf(content, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", t, t + 1, t + 2, t + 3, t + 4, t + 5,
               t + 6, t + 7) == 8) {
        usage.stolen = (double)t[7];
        usage.total = 0;
        for (int i = 0; i < 8; i++) usage.total += (double)t[i];
    }
    return usage;
}

static double passed(double from, double to) {
    return from < 0 || to < 0 ? 0 : to - from;
}

void add_usage(struct usage *sum, const struct usage *since) {
    struct usage now = take_usage();
    sum->wall_s += passed(since->wall_s, now.wall_s);
    sum->waited_s += passed(since->waited_s, now.waited_s);
    sum->total += passed(since->total, now.total);
    sum->stolen += passed(since->stolen, now.stolen);
}

static void append_share(struct text *meta, const char *key, bool told, double part, double whole) {
    if (told && whole > 0)
        append(meta, ", \"%s\": %.9g", key, part / whole);
    else
        append(meta, ", \"%s\": null", key);
}

/* Which share of the time others took: while this process waited, and from the machine. */
void append_strain(struct text *meta, const struct usage *before, const struct usage *idle) {
    struct usage since = {0}, after = take_usage();
    struct timespec cpu = {0};
    char content[128];
    add_usage(&since, before);
    double load = read_small("/proc/loadavg", content, sizeof content) ? strtod(content, NULL) : 0;
    double wall = since.wall_s - idle->wall_s;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    append_share(meta, "wait_share", after.waited_s >= 0, since.waited_s - idle->waited_s, wall);
    append_share(meta, "steal_share", after.total >= 0, since.stolen - idle->stolen,
                 since.total - idle->total);
    append(meta, ", \"load_average\": %.9g, \"wall_s\": %.9g", load, wall);
    append(meta, ", \"cpu_s\": %.9g", (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
}
