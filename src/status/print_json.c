/* status as JSON. Names are stable; what is not known is null. docs/status.md describes it. */
#include <jansson.h>

#include "pg/lsn.h"
#include "status/json.h"
#include "status/status.h"

enum { JSON_VERSION = 1 };

static json_t *lsn_or_null(uint64_t lsn)
{
    char text[LSN_TEXT];
    return lsn ? json_string(lsn_format(lsn, text)) : json_null();
}

static json_t *count_or_null(int64_t count)
{
    return count >= 0 ? json_integer(count) : json_null();
}

static json_t *pid_or_null(int pid)
{
    return pid ? json_integer(pid) : json_null();
}

static json_t *texts(const struct strv *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(array, json_text_or_null(list->items[i]));
    return array;
}

static json_t *server_json(const struct status_server *server)
{
    if (!server->is_given)
        return json_null();
    return json_pack("{s:o, s:b, s:o}", "url", json_text_or_null(server->url), "reachable",
                     server->is_reached, "version",
                     count_or_null(server->version ? server->version : -1));
}

static json_t *slot_json(const struct status *status)
{
    const struct slot_state *slot = &status->slot;
    if (!status->source.is_reached || status->settings->mode == MODE_SNAPSHOT)
        return json_null();
    return json_pack(
        "{s:o, s:b, s:o, s:b, s:o, s:b, s:o, s:o, s:o, s:o}", "name",
        json_text_or_null(status->slot_name), "exists", slot->exists, "plugin",
        json_text_or_null(slot->plugin), "active", slot->is_active, "active_pid",
        pid_or_null(slot->active_pid), "lost", slot->is_lost, "confirmed_lsn",
        lsn_or_null(slot->confirmed), "restart_lsn", lsn_or_null(slot->restart), "held_bytes",
        slot->exists ? json_integer(status->held_bytes) : json_null(), "max_held_bytes",
        count_or_null(status->settings->max_slot_wal ? status->settings->max_slot_wal : -1));
}

static json_t *engine_json(const struct status *status)
{
    if (!status->target.is_reached)
        return json_null();
    return json_pack("{s:b, s:o, s:o, s:o}", "running", status->engine.pid != 0, "target_pid",
                     pid_or_null(status->engine.pid), "client",
                     json_text_or_null(status->engine.client), "since",
                     json_text_or_null(status->engine.since));
}

static json_t *lag_json(const struct status *status)
{
    uint64_t position = status->has_keeper ? status->pipeline.position : 0;
    return json_pack("{s:o, s:o, s:o, s:o}", "bytes", count_or_null(status->lag_bytes), "seconds",
                     status->lag_seconds >= 0 ? json_real(status->lag_seconds) : json_null(),
                     "position", lsn_or_null(position), "source_end", lsn_or_null(status->end));
}

static json_t *snapshot_json(const struct status *status)
{
    if (status->snapshot_age_s < 0)
        return json_null();
    return json_pack("{s:i, s:I}", "pid", status->snapshot_pid, "age_seconds",
                     (json_int_t)status->snapshot_age_s);
}

static json_t *wait_json(const struct wait *wait)
{
    json_t *blocker = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "pid", pid_or_null(wait->blocker_pid), "gid",
        json_text_or_null(wait->gid), "user", json_text_or_null(wait->user), "application",
        json_text_or_null(wait->application), "state", json_text_or_null(wait->state),
        "transaction_age_seconds", count_or_null(wait->age_s));
    return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o}", "server", wait->server, "pid",
                     wait->pid, "session", json_text_or_null(wait->session), "object",
                     json_text_or_null(wait->object), "lock", json_text_or_null(wait->mode),
                     "waited_seconds", count_or_null(wait->waited_s), "blocker", blocker);
}

static json_t *waits_json(const struct status *status)
{
    json_t *array = json_array();
    for (size_t i = 0; i < status->waits.count; i++)
        (void)json_array_append_new(array, wait_json(&status->waits.items[i]));
    return array;
}

static json_t *tables_json(const struct status *status)
{
    json_t *array = json_array();
    for (size_t i = 0; i < status->table_count; i++) {
        const struct status_table *table = &status->tables[i];
        (void)json_array_append_new(
            array,
            json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:I}", "schema",
                      json_text_or_null(table->schema), "name", json_text_or_null(table->name),
                      "state", status_state_name(table->state), "parts", (json_int_t)table->parts,
                      "parts_done", (json_int_t)table->parts_done, "rows_copied",
                      (json_int_t)table->rows, "bytes_copied", (json_int_t)table->bytes));
    }
    return array;
}

static json_t *parked_json(const struct status *status)
{
    json_t *array = json_array();
    for (size_t i = 0; i < status->parked.count; i++) {
        const struct keeper_parked *parked = &status->parked.items[i];
        (void)json_array_append_new(
            array,
            json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
                      json_text_or_null(parked->schema), "name", json_text_or_null(parked->name),
                      "since", lsn_or_null(parked->lsn), "change",
                      json_text_or_null(parked->change), "commit_lsn",
                      lsn_or_null(parked->change_lsn), "sqlstate",
                      json_text_or_null(parked->sqlstate), "message",
                      json_text_or_null(parked->message), "at", json_text_or_null(parked->at)));
    }
    return array;
}

void status_print_json(const struct status *status, FILE *out)
{
    bool runs = status->engine.pid != 0;
    bool knows = status->has_keeper && status->settings->mode != MODE_SNAPSHOT;
    json_t *root = json_pack("{s:i, s:b, s:o, s:s}", "version", JSON_VERSION, "ok",
                             status->problems.count == 0, "slot_name",
                             json_text_or_null(status->slot_name), "phase", status->phase);
    (void)json_object_set_new(root, "source", server_json(&status->source));
    (void)json_object_set_new(root, "target", server_json(&status->target));
    (void)json_object_set_new(root, "engine", engine_json(status));
    (void)json_object_set_new(root, "slot", slot_json(status));
    (void)json_object_set_new(root, "publication",
                              json_text_or_null(*status->publication ? status->publication : NULL));
    (void)json_object_set_new(root, "lag", lag_json(status));
    (void)json_object_set_new(root, "consistent_from", lsn_or_null(status->consistent_from));
    (void)json_object_set_new(root, "consistent",
                              knows ? json_boolean(!status->inconsistent) : json_null());
    (void)json_object_set_new(root, "inconsistent_because",
                              json_text_or_null(status->inconsistent));
    (void)json_object_set_new(root, "snapshot", snapshot_json(status));
    (void)json_object_set_new(root, "waits_for",
                              json_text_or_null(runs ? status->pipeline.waits_for : NULL));
    (void)json_object_set_new(root, "waits", waits_json(status));
    (void)json_object_set_new(root, "tables", tables_json(status));
    (void)json_object_set_new(root, "parked", parked_json(status));
    (void)json_object_set_new(root, "problems", texts(&status->problems));
    (void)json_object_set_new(root, "warnings", texts(&status->warnings));
    (void)json_dumpf(root, out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(root);
}
