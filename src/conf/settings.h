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
    COMMAND_INIT = 1 << 5,
    COMMAND_SNAPSHOT = 1 << 6,
    COMMAND_STATUS = 1 << 7,
    COMMAND_CHECK = 1 << 8,
    COMMAND_PLAN = 1 << 9,
};

/* What a pipeline does: copy once; follow from the slot's position; copy, then follow. */
enum mode { MODE_AUTO, MODE_SNAPSHOT, MODE_REPLICATION, MODE_SNAPSHOT_AND_REPLICATION };
enum toggle { TOGGLE_UNSET, TOGGLE_OFF, TOGGLE_ON };
enum snapshot_content { SNAPSHOT_FULL, SNAPSHOT_SCHEMA, SNAPSHOT_DATA };

/* Tables whose UPDATEs would fail once published: refuse them, publish their INSERTs and TRUNCATEs
 * only, or give them REPLICA IDENTITY FULL. */
enum without_identity {
    WITHOUT_IDENTITY_ERROR,
    WITHOUT_IDENTITY_INSERT_ONLY,
    WITHOUT_IDENTITY_FULL
};

/* Triggers and foreign keys of the target while changes are applied: off when the role may switch
 * them off, off or refuse to start, left active. */
enum disable_triggers { TRIGGERS_AUTO, TRIGGERS_OFF, TRIGGERS_FIRE };
enum on_conflict { CONFLICT_ERROR, CONFLICT_UPDATE, CONFLICT_NOTHING };
enum on_apply_error { APPLY_ERROR_STOP, APPLY_ERROR_PARK };
enum apply_mode { APPLY_SETS, APPLY_ORDERED };
enum slot_wal_action { SLOT_WAL_STOP, SLOT_WAL_DROP };
enum progress_mode { PROGRESS_AUTO, PROGRESS_ON, PROGRESS_OFF };

struct settings_origin;

/* Strings are owned and never NULL once read; empty means not set. Durations are milliseconds and
 * fit an int; sizes are bytes. */
struct settings {
    const char *program;            /* the name it was called by: "trunkline" or "pgstream" */
    char *source;                   /* connection URL, with its password */
    char *target;                   /* connection URL, with its password */
    char *slot;                     /* empty: made from the database's name by the caller */
    char *keeper_schema;            /* never empty once read: the program's name when not set */
    char *publication_name;         /* the user's own; empty: ours, named like the slot */
    enum mode mode;                 /* never MODE_AUTO once read */
    struct strv tables;             /* patterns, see pattern.h; empty: all */
    struct strv excluded_tables;    /* patterns; neither copied nor followed */
    struct strv schema_only_tables; /* patterns; made on the target, their rows left out */
    char *until;                    /* "", "now" or an LSN ("0/16B3748") */

    enum toggle initial_snapshot; /* as given; it has its part in mode */
    char *snapshot_store;         /* URL as given: the database to snapshot, or empty */
    char *schema_log_store;       /* URL as given; for following schema changes later */
    enum snapshot_content snapshot_content;
    bool schema_only; /* as given, as is data_only: they have their part in snapshot_content */
    bool data_only;
    int snapshot_workers; /* the product of the three bounds the copiers, see settings_copiers() */
    int schema_workers;
    int table_workers;
    int batch_page_size; /* blocks of a part; 0: part_size decides */
    int64_t max_rate;    /* bytes a second of the whole copy; 0: no bound */
    bool no_owner;
    bool no_privileges;
    bool large_objects;
    bool no_refresh;
    bool resumable; /* copies once, with a slot held until its end: mode is then
                       MODE_SNAPSHOT_AND_REPLICATION. False in any other mode */
    bool reset;     /* empty the target's tables first */
    bool yes;       /* do not ask */
    bool running;   /* status: an engine must hold the lock */

    int copiers;
    int64_t part_size;
    int64_t index_memory;
    char *pg_bindir; /* empty: found through PATH */

    enum without_identity tables_without_identity;
    int64_t identity_lock_timeout_ms; /* of ALTER TABLE … REPLICA IDENTITY FULL on the source */
    enum disable_triggers disable_triggers;
    enum on_conflict on_conflict;
    enum on_apply_error on_apply_error;
    struct strv resync; /* run: tables to copy anew, as names */
    enum apply_mode apply_mode;
    bool publish_via_root;
    int64_t sequence_sync_interval_ms; /* 0: at the end only */
    int64_t heartbeat_interval_ms;     /* 0: none */
    int group_max_changes;
    int64_t group_max_bytes;
    int64_t group_max_time_ms;
    int64_t queue_bytes;
    int64_t logical_decoding_work_mem; /* of our walsender; 0: as the server has it */
    bool streaming;                    /* transactions in progress are sent */
    bool apply_ahead;                  /* of those, one at a time is applied as it comes */
    int64_t spill_memory;              /* of those, kept in memory */
    char *spill_dir;                   /* empty: TMPDIR, else /var/tmp */
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
    bool compare_schema;

    int demo_scale;
    bool demo_kill;
    bool demo_break;
    bool demo_keep;

    char *config_file; /* given by --config; NULL: none */
    bool wants_help;   /* --help or -h was given; nothing else has been checked then */
    struct settings_origin *origins; /* owned: one a setting, in the table's order */
};

#define SETTINGS_INIT ((struct settings){.program = "trunkline"})

/* Reads everything that `command` (one bit) accepts; argv[0] is the command's name, s->program the
 * program's. False: there are mistakes, each a text of its own in problems, none with a password;
 * what could be read is in s. Passwords of URLs given as flags are overwritten in argv, so that
 * `ps` no longer shows them: argv must be writable. s and problems must be initialised; release
 * them in any case. */
bool settings_read(struct settings *s, unsigned command, int argc, char **argv,
                   struct strv *problems) MUST_USE;
void settings_release(struct settings *s); /* AUTO handler */

/* What file and environment now say of the log level. *ret_is_set is false when neither names it:
 * ret_level is left alone then. A mistake anywhere in the file is an error. */
bool settings_reread_level(const struct settings *s, enum log_level *ret_level, bool *ret_is_set,
                           struct err *err) MUST_USE;

/* Where a setting's value came from, for people: "default", "my.env:3 TRUNKLINE_SLOT", "flag
 * --slot", "derived from NAME". Borrowed: s. */
const char *settings_origin(const struct settings *s, const char *name);

/* How many copiers these settings allow; free connections may allow fewer. */
int settings_copiers(const struct settings *s);

/* Bytes of a part of the copy on a source with blocks of that size. */
int64_t settings_part_size(const struct settings *s, int64_t block_size);

/* Each setting of the command with its value and where it came from; URLs without passwords. */
void settings_print(const struct settings *s, unsigned command, bool as_json, FILE *out);

/* The options of a command: flag, default, meaning, environment name. */
void settings_help(unsigned command, FILE *out);
