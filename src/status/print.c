/* status for people: a few aligned lines, then the tables. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "pg/lsn.h"
#include "status/human.h"
#include "status/status.h"

static const char *phase_words(const char *phase)
{
    static const char *const words[][2] = {
        {"none", "nothing of this pipeline exists yet"},
        {"unknown", "what the target holds is not known"},
        {"initialised", "slot and publication exist; no engine has run yet"},
        {"created", "publication and slot are being made"},
        {"slot", "the slot exists; the schema is being copied"},
        {"tables", "rows are being copied"},
        {"rows", "all rows are copied; indexes are being built"},
        {"indexes", "indexes are built; the stream catches up with the copy"},
        {"following", "the copy is complete; changes are applied as they come"},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(words[i][0], phase) == 0)
            return words[i][1];
    return "";
}

static void print_server(const struct status_server *server, const char *what, FILE *out)
{
    (void)fprintf(out, "%-11s ", what);
    if (!server->is_given) {
        (void)fputs("not given\n", out);
        return;
    }
    (void)human_text(out, server->url);
    if (server->version)
        (void)fprintf(out, ", PostgreSQL %d.%d", server->version / 10000, server->version % 10000);
    (void)fputs(server->is_reached ? "\n" : ", NOT REACHABLE\n", out);
}

static void print_engine(const struct status *status, FILE *out)
{
    const struct keeper_holder *engine = &status->engine;
    if (!status->target.is_reached)
        return;
    if (!engine->pid)
        (void)fputs("engine      none runs\n", out);
    else
        (void)fprintf(out, "engine      runs: backend %d on the target, from %s, since %s\n",
                      engine->pid, engine->client ? engine->client : "this machine",
                      engine->since ? engine->since : "an unknown time");
}

static void print_slot(const struct status *status, FILE *out)
{
    const struct slot_state *slot = &status->slot;
    if (!status->source.is_reached || status->settings->mode == MODE_SNAPSHOT)
        return;
    (void)fprintf(out, "slot        %s, ", status->slot_name);
    if (!slot->exists) {
        (void)fputs("does not exist\n", out);
        return;
    }
    AUTO(str_free) char *held = human_bytes(status->held_bytes);
    AUTO(str_free) char *bound = human_bytes(status->settings->max_slot_wal);
    (void)fprintf(out, "%s, %s", slot->plugin ? slot->plugin : "physical",
                  slot->is_lost     ? "LOST"
                  : slot->is_active ? "in use"
                                    : "not in use");
    if (slot->is_active)
        (void)fprintf(out, " by pid %d", slot->active_pid);
    (void)fprintf(out, "; holds back %s of WAL%s%s%s\n", held,
                  status->settings->max_slot_wal ? " of " : "",
                  status->settings->max_slot_wal ? bound : "",
                  status->settings->max_slot_wal ? " allowed" : "");
}

static void print_lag(const struct status *status, FILE *out)
{
    char lsn[LSN_TEXT];
    char end[LSN_TEXT];
    if (status->lag_bytes < 0)
        return;
    AUTO(str_free) char *bytes = human_bytes(status->lag_bytes);
    (void)fprintf(out, "lag         %s", bytes);
    if (status->lag_seconds >= 0)
        (void)fprintf(out, ", %.1f s", status->lag_seconds);
    if (status->has_keeper)
        (void)fprintf(out, "; position %s", lsn_format(status->pipeline.position, lsn));
    (void)fprintf(out, ", the source's end %s\n", lsn_format(status->end, end));
}

static void print_consistent(const struct status *status, FILE *out)
{
    char lsn[LSN_TEXT];
    if (!status->has_keeper || status->settings->mode == MODE_SNAPSHOT)
        return;
    if (status->consistent_from)
        (void)fprintf(out, "consistent  from %s on: %s%s\n",
                      lsn_format(status->consistent_from, lsn),
                      status->inconsistent ? "not reached yet: " : "reached",
                      status->inconsistent ? status->inconsistent : "");
    else
        (void)fprintf(out, "consistent  not yet: %s\n", status->inconsistent);
}

static void print_wait(const struct wait *wait, FILE *out)
{
    (void)fprintf(out, "            %s: ", wait->server);
    (void)human_text(out, wait->session);
    (void)fprintf(out, " (pid %d)", wait->pid);
    if (wait->waited_s >= 0)
        (void)fprintf(out, " for %" PRId64 " s", wait->waited_s);
    (void)fprintf(out, " for %s on ", wait->mode);
    (void)human_text(out, wait->object);
    if (wait->gid) {
        (void)fputs(", held by the prepared transaction ", out);
        (void)human_text(out, wait->gid);
    } else {
        (void)fprintf(out, ", held by %s %d",
                      wait->blocker_pid ? "pid" : "a prepared transaction, pid", wait->blocker_pid);
    }
    const char *const about[] = {wait->user, wait->application, wait->state};
    const char *glue = " (";
    for (size_t i = 0; i < COUNT_OF(about); i++) {
        if (!about[i])
            continue;
        (void)fputs(glue, out);
        (void)human_text(out, about[i]);
        glue = ", ";
    }
    if (strcmp(glue, ", ") == 0)
        (void)fputc(')', out);
    if (wait->age_s >= 0) {
        AUTO(str_free) char *age = human_seconds(wait->age_s);
        (void)fprintf(out, ", open for %s", age);
    }
    (void)fputc('\n', out);
}

static void print_waits(const struct status *status, FILE *out)
{
    if (status->snapshot_age_s >= 0) {
        AUTO(str_free) char *age = human_seconds(status->snapshot_age_s);
        (void)fprintf(out, "snapshot    held for %s on the source by pid %d\n", age,
                      status->snapshot_pid);
    }
    if (status->engine.pid && status->pipeline.waits_for) {
        (void)fputs("waits for   ", out);
        (void)human_text(out, status->pipeline.waits_for);
        (void)fputc('\n', out);
    }
    if (status->waits.count)
        (void)fputs("waiting     sessions of the pipeline:\n", out);
    for (size_t i = 0; i < status->waits.count; i++)
        print_wait(&status->waits.items[i], out);
}

static const char *state_words(enum status_table_state state)
{
    switch (state) {
    case TABLE_COPIED:
        return "copied, joins when the stream has passed its copy";
    case TABLE_INSERT_ONLY:
        return "inserts and truncates only";
    case TABLE_PARKED:
        return "parked: its changes are left out";
    case TABLE_RESYNCING:
        return "copied anew; stays as it was until it joins";
    case TABLE_UNLOGGED:
        return "unlogged: its changes are not followed";
    case TABLE_NOT_FOLLOWED:
        return "not followed yet";
    case TABLE_PUBLISHED:
        return "published; what the target has is not known";
    case TABLE_GONE:
        return "gone from the source";
    case TABLE_PLANNED:
    case TABLE_COPYING:
    case TABLE_FOLLOWING:
        break;
    }
    return status_state_name(state);
}

static void print_table(const struct status_table *table, int width, FILE *out)
{
    AUTO(str_free) char *label = str_fmt("%s.%s", table->schema, table->name);
    human_padded(out, label, width);
    if (table->parts) {
        AUTO(str_free) char *bytes = human_bytes(table->bytes);
        AUTO(str_free)
        char *parts = str_fmt("%" PRId64 "/%" PRId64, table->parts_done, table->parts);
        (void)fprintf(out, "  %11s  %14" PRId64 "  %11s", parts, table->rows, bytes);
    } else {
        (void)fprintf(out, "  %11s  %14s  %11s", "", "", "");
    }
    (void)fprintf(out, "  %s\n", state_words(table->state));
}

static void print_tables(const struct status *status, FILE *out)
{
    int width = 5;
    if (!status->table_count)
        return;
    for (size_t i = 0; i < status->table_count; i++) {
        size_t len = strlen(status->tables[i].schema) + 1 + strlen(status->tables[i].name);
        width = MAX_OF(width, (int)MIN_OF(len, (size_t)60));
    }
    (void)fprintf(out, "\n%-*s  %11s  %14s  %11s  state\n", width, "table", "parts", "rows copied",
                  "bytes");
    for (size_t i = 0; i < status->table_count; i++)
        print_table(&status->tables[i], width, out);
}

static void print_list(const struct strv *list, const char *word, FILE *out)
{
    for (size_t i = 0; i < list->count; i++) {
        (void)fprintf(out, "%s%s: ", i ? "" : "\n", word);
        (void)human_text(out, list->items[i]);
        (void)fputc('\n', out);
    }
}

void status_print(const struct status *status, FILE *out)
{
    print_server(&status->source, "source", out);
    print_server(&status->target, "target", out);
    (void)fprintf(out, "phase       %s: %s\n", status->phase, phase_words(status->phase));
    print_engine(status, out);
    print_slot(status, out);
    print_lag(status, out);
    print_consistent(status, out);
    print_waits(status, out);
    print_tables(status, out);
    print_list(&status->warnings, "warning", out);
    print_list(&status->problems, "problem", out);
}
