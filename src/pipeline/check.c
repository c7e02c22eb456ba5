/* Refusing what cannot work, before anything is created: what src/check finds, as one error. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "check/check.h"
#include "pipeline/engine.h"

bool engine_check_identity(const struct table_list *tables, struct err *err)
{
    return check_identity(tables, err);
}

/* What the stages build on is not worked out twice. */
static void keep(struct engine *engine, struct check *check)
{
    str_set(&engine->database, TAKE(check->database));
    str_set(&engine->system_id, TAKE(check->system_id));
    str_set(&engine->slot, TAKE(check->slot));
    str_set(&engine->publication, TAKE(check->publication));
    str_set(&engine->name_prefix, TAKE(check->name_prefix));
    engine->ref = (struct keeper_ref){engine->settings->keeper_schema, engine->slot};
    engine->timeline = check->timeline;
    engine->source_version = check->source_version;
    engine->is_raw = check->is_raw;
    engine->target_version = check->target_version;
    engine->until = check->until;
    schema_tools_release(&engine->tools);
    engine->tools = check->tools;
    check->tools = SCHEMA_TOOLS_INIT;
    keeper_pipeline_release(&engine->pipeline);
    engine->pipeline = check->pipeline;
    check->pipeline = (struct keeper_pipeline){0};
}

static bool rename_session(const struct engine *engine, struct conn *conn, const char *role,
                           struct err *err)
{
    AUTO(str_free) char *name = engine_name(engine, role);
    return conn_execf(conn, err, "SET application_name = %L", name);
}

/* A follower that starts again has little to do: it goes on with the checks' connections, and with
 * the tables they have just read. */
static bool keep_open(struct engine *engine, struct check *check, struct err *err)
{
    engine->source = TAKE(check->source);
    engine->keeper = TAKE(check->target);
    engine->seen_tables = check->tables;
    check->tables = TABLE_LIST_INIT;
    engine->seen_target = check->target_tables;
    check->target_tables = TABLE_LIST_INIT;
    engine->has_seen = true;
    return rename_session(engine, engine->source, "prepare", err) &&
           rename_session(engine, engine->keeper, "keeper", err);
}

/* The first error is what the run ends with; the others are told before it. */
static bool judge(const struct findings *findings, struct err *err)
{
    const struct finding *first = NULL;
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        struct err why = {0};
        (void)finding_err(finding, &why);
        if (finding->level == FINDING_WARNING)
            log_warn("%s", why.text);
        else if (first)
            log_error("%s", why.text);
        else
            first = finding;
    }
    size_t errors = findings_count(findings, FINDING_ERROR);
    if (errors > 1)
        log_error("%zu more reason%s not to start: see above", errors - 1, errors > 2 ? "s" : "");
    return !first || finding_err(first, err);
}

bool engine_check(struct engine *engine, struct err *err)
{
    AUTO(check_release) struct check check = {.is_run = true};
    if (!check_run(&check, engine->settings, engine->hard, err) || !judge(&check.findings, err))
        return false;
    bool is_to_follow = engine->settings->mode != MODE_SNAPSHOT && check_is_complete(&check);
    keep(engine, &check);
    return !is_to_follow || keep_open(engine, &check, err);
}
