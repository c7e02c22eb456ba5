/* What the user has set: defaults, then file, then environment, then flags, the later winning.
 * Every setting stands once in settings_table.c; reading, errors, printing and help follow it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/strv.h"

/* A bit a command, so that a setting can name all those that accept it. */
enum command {
    COMMAND_RUN = 1 << 0,
    COMMAND_TEAR_DOWN = 1 << 1,
    COMMAND_VERIFY = 1 << 2,
    COMMAND_DEMO = 1 << 3,
    COMMAND_CONFIG = 1 << 4,
};

enum without_identity { WITHOUT_IDENTITY_ERROR };
enum slot_wal_action { SLOT_WAL_STOP, SLOT_WAL_DROP };
enum progress_mode { PROGRESS_AUTO, PROGRESS_ON, PROGRESS_OFF };

struct settings_origin;

/* Strings are owned and never NULL once read; empty means not set. Durations are milliseconds and
 * fit an int; sizes are bytes. */
struct settings {
    char *source;       /* connection URL, with its password */
    char *target;       /* connection URL, with its password */
    char *slot;         /* empty: made from the database's name by the caller */
    struct strv tables; /* patterns, see pattern.h; empty: all */
    char *until;        /* "", "now" or an LSN ("0/16B3748") */

    int copiers;
    int64_t part_size;
    int64_t index_memory;
    char *pg_bindir; /* empty: found through PATH */

    enum without_identity tables_without_identity;
    int group_max_changes;
    int64_t group_max_bytes;
    int64_t group_max_time_ms;
    int64_t queue_bytes;
    int64_t idle_position_interval_ms;
    int64_t max_slot_wal; /* 0: no bound */
    enum slot_wal_action max_slot_wal_action;

    int64_t connect_timeout_ms;
    int64_t reconnect_timeout_ms; /* 0: without end */
    int64_t tcp_user_timeout_ms;

    char *listen; /* empty: off */
    enum log_level log_level;
    enum log_format log_format;
    enum progress_mode progress;
    bool json;

    int demo_scale;
    bool demo_kill;
    bool demo_break;
    bool demo_keep;

    bool wants_help; /* --help or -h was given; nothing else has been checked then */
    struct settings_origin *origins; /* owned: one a setting, in the table's order */
};

#define SETTINGS_INIT ((struct settings){0})

/* Reads everything that `command` (one bit) accepts; argv[0] is the command's name. All mistakes
 * are reported at once, as ERR_CONFIG. Passwords of URLs given as flags are overwritten in argv, so
 * that `ps` no longer shows them: argv must be writable. s must be initialised; release it in any
 * case. */
bool settings_read(struct settings *s, unsigned command, int argc, char **argv,
                   struct err *err) MUST_USE;
void settings_release(struct settings *s); /* AUTO handler */

/* Each setting of the command with its value and where it came from; URLs without passwords. */
void settings_print(const struct settings *s, unsigned command, bool as_json, FILE *out);

/* The options of a command: flag, default, meaning, environment name. */
void settings_help(unsigned command, FILE *out);
