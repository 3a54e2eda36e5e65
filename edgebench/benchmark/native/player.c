/* One agent's process, as its conductor sees it. */
#include "player.h"
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void become_agent(struct player *player, char **command, int orders, int answers) {
    int said = open(player->said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(orders, 0);
    dup2(answers, 1);
    if (said >= 0) dup2(said, 2);
    execv(command[0], command);
    fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
    _exit(127);
}

void start_player(struct player *player, char **command, size_t words, const char *job) {
    int orders[2], answers[2];
    struct text said = {0};
    append(&said, "%s.said", job);
    *player = (struct player){.job = job, .said = said.bytes};
    /* closed in agents that are started later, or this one would never see its orders end */
    if (pipe2(orders, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0)
        fail("storage", "pipe: %s", strerror(errno));
    player->pid = fork();
    if (player->pid < 0) fail("memory", "fork: %s", strerror(errno));
    if (player->pid == 0) {
        command[words] = (char *)job;
        become_agent(player, command, orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    player->orders = orders[1];
    player->answers = answers[0];
}

static void take_status(struct player *player, int how) {
    player->ended = true;
    player->status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
}

void kill_player(struct player *player) {
    int how;
    if (player->ended) return;
    kill(player->pid, SIGKILL);
    while (waitpid(player->pid, &how, 0) < 0 && errno == EINTR) {
    }
    take_status(player, how);
}

/* End an agent that is over its time. */
static void hang_up(struct player *player) {
    kill_player(player);
    player->status = HUNG;
}

/* Wait for an agent's end, which comes with that of its orders; its answers' end tells of it. */
void let_end(struct player *player, double turn_s) {
    int how;
    char rest[256];
    struct pollfd answers = {.fd = player->answers, .events = POLLIN};
    if (player->ended) return;
    close(player->orders);
    int64_t until = now_ns() + (int64_t)(turn_s * 1e9);
    for (;;) {
        int64_t left_ms = (until - now_ns()) / 1000000;
        if (left_ms <= 0 || poll(&answers, 1, (int)left_ms) == 0) {
            hang_up(player);
            return;
        }
        if (read(player->answers, rest, sizeof rest) <= 0) break;
    }
    while (waitpid(player->pid, &how, 0) < 0 && errno == EINTR) {
    }
    take_status(player, how);
}

/* The agent's next answer, NULL where it ended, hung or failed. It is valid until the next one. */
const char *hear(struct player *player, double turn_s) {
    static char answer[sizeof player->line];
    struct pollfd answers = {.fd = player->answers, .events = POLLIN};
    int64_t until = now_ns() + (int64_t)(turn_s * 1e9);
    char *end;
    while ((end = memchr(player->line, '\n', player->held)) == NULL) {
        int64_t left_ms = (until - now_ns()) / 1000000;
        if (left_ms <= 0 || poll(&answers, 1, (int)left_ms) == 0) {
            hang_up(player);
            return NULL;
        }
        ssize_t got = read(player->answers, player->line + player->held, sizeof player->line - player->held);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return NULL;
        player->held += (size_t)got;
    }
    size_t length = (size_t)(end - player->line);
    memcpy(answer, player->line, length);
    answer[length] = '\0';
    player->held -= length + 1;
    memmove(player->line, end + 1, player->held);
    char *kind = json_string(json_member(answer, "kind"));
    player->short_of_memory = kind != NULL && strcmp(kind, "memory") == 0;
    free(kind);
    return json_member(answer, "error") == NULL ? answer : NULL;
}

bool tell(struct player *player, const char *order) {
    size_t length = strlen(order);
    return write(player->orders, order, length) == (ssize_t)length;
}

/* Whether an agent that gives no answer any more ended for want of memory. */
bool lacked_memory(struct player *player, double turn_s) {
    let_end(player, turn_s);
    return player->short_of_memory || player->status == 128 + SIGKILL;
}
