/* What the answers of the two servers mean: phase, lag, problems, warnings. See status.h. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "conf/quantity.h"
#include "pg/lsn.h"
#include "status/status.h"

const char *status_state_name(enum status_table_state state)
{
    switch (state) {
    case TABLE_PLANNED:
        return "planned";
    case TABLE_COPYING:
        return "copying";
    case TABLE_COPIED:
        return "copied";
    case TABLE_FOLLOWING:
        return "following";
    case TABLE_INSERT_ONLY:
        return "insert_only";
    case TABLE_PARKED:
        return "parked";
    case TABLE_RESYNCING:
        return "resyncing";
    case TABLE_UNLOGGED:
        return "unlogged";
    case TABLE_NOT_FOLLOWED:
        return "not_followed";
    case TABLE_PUBLISHED:
        return "published";
    case TABLE_GONE:
        return "gone";
    }
    return "";
}

static const char *phase_of(const struct status *status)
{
    if (status->has_keeper)
        return keeper_phase_name(status->pipeline.phase);
    if (!status->source.is_reached || (status->target.is_given && !status->target.is_reached))
        return "unknown";
    if (!status->slot.exists)
        return "none";
    return status->target.is_given ? "initialised" : "unknown";
}

static void judge_lag(struct status *status)
{
    uint64_t position = status->has_keeper && status->pipeline.position ? status->pipeline.position
                                                                        : status->slot.confirmed;
    if (!status->end || !position || status->settings->mode == MODE_SNAPSHOT) {
        status->lag_seconds = -1;
        return;
    }
    status->lag_bytes = status->end > position ? (int64_t)(status->end - position) : 0;
    if (status->lag_bytes == 0 && status->has_keeper)
        status->lag_seconds = 0;
}

static void judge_slot(struct status *status)
{
    const struct slot_state *slot = &status->slot;
    int64_t bound = status->settings->max_slot_wal;
    struct err err = {0};
    if (!status->source.is_reached || status->settings->mode == MODE_SNAPSHOT)
        return;
    if (!slot->exists)
        strv_take(&status->problems,
                  str_fmt("there is no slot \"%s\" on the source", status->slot_name));
    else if (!slot_check(slot, status->slot_name, slot->database ? slot->database : "", &err))
        strv_add(&status->problems, err.text);
    if (!bound || status->held_bytes <= bound)
        return;
    AUTO(str_free) char *text = bytes_text(bound);
    strv_take(&status->problems,
              str_fmt("slot \"%s\" holds back %" PRId64 " bytes of WAL on the source, more than "
                      "max_slot_wal (%s)",
                      status->slot_name, status->held_bytes, text));
}

static void judge_engine(struct status *status)
{
    if (!status->settings->running || status->engine.pid)
        return;
    if (!status->target.is_given)
        strv_add(&status->problems, "whether an engine runs is known to the target only; hint: "
                                    "give its URL with --target");
    else if (status->target.is_reached)
        strv_add(&status->problems, "no engine runs this pipeline");
}

static void judge_snapshot(struct status *status)
{
    if (status->snapshot_age_s < STATUS_SNAPSHOT_OLD_S)
        return;
    strv_take(&status->warnings,
              str_fmt("the copy's snapshot on the source is %" PRId64
                      " minutes old: until the copy "
                      "is done vacuum cannot remove rows that were deleted since",
                      status->snapshot_age_s / 60));
}

static void judge_unfinished(struct status *status)
{
    if (!status->has_keeper || !status->pipeline.is_snapshot)
        return;
    strv_take(&status->warnings,
              str_fmt("this is a snapshot --resumable: its slot holds back WAL on the source until "
                      "it ends; when it was interrupted, start it again, or give it up with "
                      "tear-down --slot %s",
                      status->slot_name));
}

static void judge_parked(struct status *status)
{
    char lsn[LSN_TEXT];
    for (size_t i = 0; i < status->parked.count; i++) {
        const struct keeper_parked *parked = &status->parked.items[i];
        strv_take(&status->problems,
                  str_fmt("%s.%s is parked, its changes since %s are left out: %s; hint: mend the "
                          "cause, then %s run --resync %s.%s copies it anew",
                          parked->schema, parked->name, lsn_format(parked->lsn, lsn),
                          parked->message ? parked->message : "nothing is recorded of the reason",
                          status->settings->program, parked->schema, parked->name));
    }
}

static void judge_tables(struct status *status)
{
    size_t not_followed = 0;
    size_t insert_only = 0;
    size_t resyncing = 0;
    for (size_t i = 0; i < status->table_count; i++) {
        not_followed += status->tables[i].state == TABLE_NOT_FOLLOWED;
        insert_only += status->tables[i].state == TABLE_INSERT_ONLY;
        resyncing += status->tables[i].state == TABLE_RESYNCING;
    }
    if (resyncing)
        strv_take(&status->warnings,
                  str_fmt("tables that are copied anew, and stay as they were until they join: %zu",
                          resyncing));
    if (not_followed)
        strv_take(&status->warnings,
                  str_fmt("tables of the source that match but are not followed yet: %zu; the next "
                          "start of the engine adds them",
                          not_followed));
    if (insert_only)
        strv_take(&status->warnings,
                  str_fmt("tables without replica identity, of which only INSERT and TRUNCATE are "
                          "followed: %zu",
                          insert_only));
}

void status_judge(struct status *status)
{
    status->phase = phase_of(status);
    judge_lag(status);
    judge_slot(status);
    judge_engine(status);
    judge_snapshot(status);
    judge_unfinished(status);
    judge_tables(status);
    judge_parked(status);
    if (!status->target.is_given)
        strv_add(&status->warnings, "no target is given: phase, position and tables of the copy "
                                    "are known there only");
}
