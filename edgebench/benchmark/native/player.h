/* One agent's process, as its conductor sees it. */
#ifndef EDGEBENCH_PLAYER_H
#define EDGEBENCH_PLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { HUNG = -1 };

/* status: as a shell has it, HUNG where it was ended for its time. said: the file of its last words. out: it
   plays no more. left: calls that it has to make. */
struct player {
    const char *job, *said;
    pid_t pid;
    int orders, answers, status;
    bool ended, short_of_memory, out;
    size_t left, held;
    char line[4096];
};

/* Start the agent of a job; `command` has `words` words and room for two more. */
void start_player(struct player *player, char **command, size_t words, const char *job);
/* Give an order, a line; return whether it was taken. */
bool tell(struct player *player, const char *order);
/* The agent's next answer, NULL where it ended, hung or failed. It is valid until the next one. */
const char *hear(struct player *player, double turn_s);
/* Wait for an agent's end, which comes with that of its orders; its answers' end tells of it. */
void let_end(struct player *player, double turn_s);
/* Whether an agent that gives no answer any more ended for want of memory. */
bool lacked_memory(struct player *player, double turn_s);
void kill_player(struct player *player);

#endif
