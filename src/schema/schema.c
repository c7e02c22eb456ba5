/* The schema copy: dump, and restore by stages. See schema.h. Work directory: schema.dump (the
 * dump), schema.facts (facts.h), schema.good (empty: the two are complete and belong to one state
 * of the source), schema.list (the list of the stage at hand). */
#include "schema/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "schema/array.h"
#include "schema/command.h"
#include "schema/facts.h"
#include "schema/front.h"
#include "schema/present.h"
#include "schema/toc.h"

static const char dump_name[] = "schema.dump";
static const char facts_name[] = "schema.facts";
static const char good_name[] = "schema.good";
static const char list_name[] = "schema.list";

void schema_job_release(struct schema_job *job)
{
    strv_release(&job->left_out);
    strv_release(&job->warnings);
}

bool schema_dump_exists(const struct schema_job *job)
{
    AUTO(str_free) char *dump = command_file(job, dump_name);
    AUTO(str_free) char *facts = command_file(job, facts_name);
    AUTO(str_free) char *good = command_file(job, good_name);
    return access(good, R_OK) == 0 && access(dump, R_OK) == 0 && access(facts, R_OK) == 0;
}

static void file_close(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static bool write_file(const char *path, const struct buf *text, struct err *err)
{
    AUTO(file_close) FILE *file = fopen(path, "we");
    if (!file || fwrite(buf_text(text), 1, text->len, file) != text->len || fflush(file) != 0)
        return err_set(err, ERR_FATAL, "could not write \"%s\": %s", path, strerror(errno));
    return true;
}

bool schema_dump_keep(const struct schema_job *job, struct err *err)
{
    AUTO(str_free) char *good = command_file(job, good_name);
    return write_file(good, &BUF_INIT, err);
}

static bool file_remove(const struct schema_job *job, const char *name, struct err *err)
{
    AUTO(str_free) char *path = command_file(job, name);
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(err, ERR_FATAL, "could not remove \"%s\": %s", path, strerror(errno));
    return true;
}

/* The query's one column: names, quoted where they need it, which makes them literal patterns. */
static bool exclude(struct command *command, struct conn *source, const char *option,
                    const char *sql, const char *param, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {param};
    if (!conn_query_params(source, sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        command_addf(command, "%s=%s", option, rows_text(rows, i, 0));
    return true;
}

/* pg_dump locks every table that it dumps, for which our user needs SELECT: those that nobody
 * selected are kept from it when they are closed to him. */
static bool exclude_closed(const struct schema_job *job, struct conn *source,
                           struct command *command, struct err *err)
{
    AUTO(buf_release) struct buf oids = BUF_INIT;
    for (size_t i = 0; i < job->selected->count; i++)
        array_add_oid(&oids, job->selected->items[i].oid);
    return exclude(command, source, "--exclude-table",
                   "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)"
                   " FROM pg_catalog.pg_class c"
                   " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                   " WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'"
                   " AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
                   " AND c.oid <> ALL ($1::pg_catalog.oid[])"
                   " AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
                   "   AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))",
                   array_end(&oids), err);
}

static bool run_dump(const struct schema_job *job, struct conn *source, const char *snapshot,
                     struct err *err)
{
    AUTO(command_release) struct command command = COMMAND_INIT;
    AUTO(str_free) char *path = command_file(job, dump_name);
    command_init(&command, job, job->tools->pg_dump);
    command_connect(&command, job->source_url, "pg_dump", conn_version(source), 0);
    static const char *const fixed[] = {"--format=custom",   "--schema-only",
                                        "--no-publications", "--no-subscriptions",
                                        "--no-sync",         "--quote-all-identifiers"};
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        command_add(&command, fixed[i]);
    /* names are compared with those that we read */
    command_addf(&command, "--encoding=%s", conn_is_raw(source) ? "SQL_ASCII" : "UTF8");
    if (!exclude(&command, source, "--exclude-schema",
                 "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n"
                 " WHERE n.nspname = $1 OR " CATALOG_IS_KEEPER("n.oid"),
                 job->keeper, err) ||
        (job->selected && !exclude_closed(job, source, &command, err)))
        return false;
    if (snapshot)
        command_addf(&command, "--snapshot=%s", snapshot);
    command_addf(&command, "--file=%s", path);
    return command_run(&command, NULL, err);
}

static bool list_dump(const struct schema_job *job, const char *option, struct buf *ret_list,
                      struct err *err)
{
    AUTO(command_release) struct command command = COMMAND_INIT;
    AUTO(str_free) char *path = command_file(job, dump_name);
    command_init(&command, job, job->tools->pg_restore);
    command_add(&command, "--list");
    command_add(&command, option);
    command_add(&command, path);
    return command_run(&command, ret_list, err);
}

static bool read_toc(const struct schema_job *job, struct toc *ret_toc, struct err *err)
{
    AUTO(buf_release) struct buf all = BUF_INIT;
    AUTO(buf_release) struct buf before = BUF_INIT;
    AUTO(buf_release) struct buf after = BUF_INIT;
    return list_dump(job, "--verbose", &all, err) &&
           list_dump(job, "--section=pre-data", &before, err) &&
           list_dump(job, "--section=post-data", &after, err) &&
           toc_parse(buf_text(&all), buf_text(&before), buf_text(&after), ret_toc, err);
}

bool schema_dump(struct schema_job *job, struct conn *source, const char *snapshot, struct err *err)
{
    AUTO(toc_release) struct toc toc = TOC_INIT;
    AUTO(facts_release) struct facts facts = FACTS_INIT;
    AUTO(str_free) char *facts_path = command_file(job, facts_name);
    strv_release(&job->left_out);
    if (!file_remove(job, good_name, err) || !file_remove(job, facts_name, err) ||
        !file_remove(job, dump_name, err) || !run_dump(job, source, snapshot, err) ||
        !read_toc(job, &toc, err) ||
        !facts_ask(source, &toc, job->selected, job->keeper, &facts, err))
        return err_wrap(err, "could not dump the schema");
    facts_apply(&facts, &toc);
    facts_list_left_out(&toc, &job->left_out);
    return facts_save(&facts, facts_path, err) || err_wrap(err, "could not dump the schema");
}

/* Sessions of a pg_restore whose engine was killed may still build an index. */
static bool end_leftovers(const struct schema_job *job, struct conn *target, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(str_free) char *application = command_application(job, "pg_restore");
    const char *const params[] = {application};
    return conn_query_params(
        target,
        "SELECT pg_catalog.pg_terminate_backend(pid, 10000) FROM pg_catalog.pg_stat_activity"
        " WHERE datname = current_database() AND usename = current_user"
        " AND application_name = $1 AND pid <> pg_catalog.pg_backend_pid()",
        1, params, &rows, err);
}

static bool drop_invalid(struct conn *target, const struct toc *toc, enum schema_stage stage,
                         struct err *err)
{
    for (size_t i = 0; i < toc->count; i++) {
        const struct toc_entry *entry = &toc->items[i];
        if (entry->stage == stage && entry->kind == TOC_INDEX && entry->is_invalid &&
            !entry->is_left_out && !conn_execf(target, err, "DROP INDEX %s", entry->identity))
            return false;
    }
    return true;
}

/* What a newer source has and an older target does not know. */
static bool hint_at_age(const struct schema_job *job, int version, struct err *err)
{
    if (err->kind != ERR_FATAL || job->tools->major <= version / 10000)
        return false;
    return err_hint(err,
                    "when PostgreSQL %d has no such thing, make the object on the target as it can "
                    "be had there, or leave its table out: what exists is left as it is",
                    version / 10000);
}

static bool run_restore(const struct schema_job *job, int version, struct command *command,
                        struct err *err)
{
    AUTO(front_free) struct front *front = NULL;
    if (!front_is_needed(job->tools->major, version)) {
        command_connect(command, job->target_url, "pg_restore", version, job->index_memory);
    } else {
        if (!front_open(job, version, &front, err))
            return false;
        command_connect_front(command);
    }
    if (command_run(command, NULL, err))
        return true;
    if (front && err->kind != ERR_STOP && !front_close(front, err))
        return false;
    return hint_at_age(job, version, err);
}

/* The tables at once or not at all, if there are not too many; the rest entry by entry, in
 * parallel. What a cut-off run has left of either is found and left out by the next. */
static bool restore_list(const struct schema_job *job, int version, enum schema_stage stage,
                         const struct present_limits *limits, int entries, struct err *err)
{
    /* each has a session of its own, busy or not */
    int jobs = limits->is_serial ? 1 : MIN_OF(job->jobs, entries);
    AUTO(command_release) struct command command = COMMAND_INIT;
    AUTO(str_free) char *dump = command_file(job, dump_name);
    AUTO(str_free) char *list = command_file(job, list_name);
    command_init(&command, job, job->tools->pg_restore);
    command_add(&command, "--exit-on-error");
    if (stage == SCHEMA_TABLES && !limits->one_by_one)
        command_add(&command, "--single-transaction");
    else if (stage != SCHEMA_TABLES && jobs > 1)
        command_addf(&command, "--jobs=%d", jobs);
    if (limits->without_owners)
        command_add(&command, "--no-owner");
    if (limits->without_privileges)
        command_add(&command, "--no-privileges");
    if (limits->without_tablespaces)
        command_add(&command, "--no-tablespaces");
    command_addf(&command, "--use-list=%s", list);
    command_add(&command, dump);
    return run_restore(job, version, &command, err);
}

/* Refreshes what can be, and returns how many could not (some wait for others); the last reason
 * is in *why. */
static bool refresh_some(struct conn *target, const struct toc *toc, size_t *ret_left,
                         struct strv *warnings, struct err *err)
{
    *ret_left = 0;
    strv_release(warnings);
    for (size_t i = 0; i < toc->count; i++) {
        struct toc_entry *entry = &toc->items[i];
        if (entry->is_left_out || !entry->is_populated || !entry->is_unpopulated)
            continue;
        if (conn_execf(target, err, "REFRESH MATERIALIZED VIEW %s", entry->identity)) {
            entry->is_unpopulated = false;
            continue;
        }
        if (err->kind == ERR_STOP || err->kind == ERR_RETRY || conn_is_lost(target))
            return err_wrap(err, "could not refresh materialized view %s", entry->identity);
        strv_take(warnings,
                  str_fmt("materialized view %s could not be refreshed, do it by hand: %s",
                          entry->identity, err->text));
        (*ret_left)++;
    }
    return true;
}

/* Those that held data on the source, in as many rounds as they depend on each other. */
static bool refresh_views(struct schema_job *job, struct conn *target, struct toc *toc,
                          struct err *err)
{
    AUTO(strv_release) struct strv failed = STRV_INIT;
    size_t left = SIZE_MAX;
    size_t before;
    if (!present_ask(target, toc, err))
        return false;
    do {
        before = left;
        if (!refresh_some(target, toc, &left, &failed, err))
            return false;
    } while (left > 0 && left < before);
    for (size_t i = 0; i < failed.count; i++)
        strv_add(&job->warnings, failed.items[i]);
    return true;
}

/* Where replica role is not to be had, what the source's foreign keys, triggers and rules have done
 * there already would be done once more. */
static void leave_out_actors(struct toc *toc, struct strv *warnings)
{
    for (size_t i = 0; i < toc->count; i++) {
        struct toc_entry *entry = &toc->items[i];
        bool acts = entry->kind == TOC_FK || entry->kind == TOC_TRIGGER || entry->kind == TOC_RULE;
        if (!acts || !toc_wants(toc, entry))
            continue;
        strv_take(warnings, str_fmt("not made on the target, where it would act a second time: %s",
                                    entry->identity ? entry->identity : entry->rest));
        entry->is_left_out = true;
    }
    toc_leave_out(toc);
}

static bool restore_pass(const struct schema_job *job, int version, enum schema_stage stage,
                         const struct present_limits *limits, const struct buf *list,
                         struct err *err)
{
    AUTO(str_free) char *path = command_file(job, list_name);
    int entries = 0;
    for (size_t i = 0; i < list->len; i++)
        entries += list->data[i] == '\n';
    return entries == 0 ||
           (write_file(path, list, err) && restore_list(job, version, stage, limits, entries, err));
}

/* Before anything else of their stage: a restrictive one must not come after the grants. */
static bool make_policies(struct conn *target, const struct toc *toc, enum schema_stage stage,
                          struct err *err)
{
    for (size_t i = 0; i < toc->count; i++) {
        const struct toc_entry *entry = &toc->items[i];
        if (entry->policy && entry->stage == stage && !entry->is_left_out &&
            !conn_exec(target, entry->policy, err))
            return err_wrap(err, "could not make policy %s", entry->identity);
    }
    return true;
}

/* At the stage of the entries that they stand for. */
static bool grant_singly(struct conn *target, const struct toc *toc, enum schema_stage stage,
                         struct err *err)
{
    for (size_t i = 0; i < toc->count; i++) {
        const struct toc_entry *object = &toc->items[i];
        if (object->grants && stage == toc_rights_stage(object) &&
            !conn_exec(target, object->grants, err))
            return err_wrap(err, "could not grant on %s", object->identity);
    }
    return true;
}

static bool restore_entries(struct schema_job *job, struct conn *target, enum schema_stage stage,
                            struct toc *toc, const struct facts *facts, struct err *err)
{
    AUTO(strv_release) struct strv repeated = STRV_INIT; /* said by the first stage */
    struct strv *warnings = stage == SCHEMA_TABLES ? &job->warnings : &repeated;
    struct present_limits limits = {.without_owners = job->without_owners,
                                    .without_privileges = job->without_privileges};
    facts_apply(facts, toc);
    if (!end_leftovers(job, target, err) || !present_ask(target, toc, err) ||
        !present_limits(target, facts, toc, &limits, warnings, err) ||
        !present_locks(target, toc, stage, &limits, err) || !drop_invalid(target, toc, stage, err))
        return false;
    toc_leave_alone(toc, job->left_alone, warnings);
    if (job->without_actors)
        leave_out_actors(toc, &job->warnings);
    if (!make_policies(target, toc, stage, err))
        return false;
    for (enum toc_pass pass = PASS_SCHEMAS; pass <= PASS_STATES; pass++) {
        AUTO(buf_release) struct buf list = BUF_INIT;
        toc_write_list(toc, stage, pass, &list);
        limits.is_serial = pass == PASS_ATTACH;
        if (!restore_pass(job, conn_version(target), stage, &limits, &list, err))
            return false;
    }
    return grant_singly(target, toc, stage, err);
}

/* A range gets its owner by an ALTER TYPE, which servers before 17 do not pass on to its
 * multirange. What our user made only. */
static bool own_multiranges(struct conn *target, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(target,
                    "SELECT pg_catalog.format('ALTER TYPE %I.%I OWNER TO %I', n.nspname, m.typname,"
                    " pg_catalog.pg_get_userbyid(t.typowner)) FROM pg_catalog.pg_range r"
                    " JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid"
                    " JOIN pg_catalog.pg_type m ON m.oid = r.rngmultitypid"
                    " JOIN pg_catalog.pg_namespace n ON n.oid = m.typnamespace"
                    " WHERE m.typowner <> t.typowner"
                    " AND pg_catalog.pg_get_userbyid(m.typowner) = current_user",
                    &rows, err))
        return err_wrap(err, "could not read the catalog");
    for (int row = 0; row < rows_count(rows); row++)
        if (!conn_exec(target, rows_text(rows, row, 0), err))
            return false;
    return true;
}

bool schema_restore(struct schema_job *job, struct conn *target, enum schema_stage stage,
                    struct err *err)
{
    static const char *const stage_names[] = {"tables", "indexes", "foreign keys and triggers"};
    AUTO(toc_release) struct toc toc = TOC_INIT;
    AUTO(facts_release) struct facts facts = FACTS_INIT;
    AUTO(str_free) char *facts_path = command_file(job, facts_name);
    strv_release(&job->warnings);
    if (!read_toc(job, &toc, err) || !facts_load(facts_path, &facts, err) ||
        !restore_entries(job, target, stage, &toc, &facts, err) ||
        (stage == SCHEMA_TABLES && !own_multiranges(target, err)) ||
        (stage == SCHEMA_KEYS && !job->without_refresh && !refresh_views(job, target, &toc, err)))
        return err_wrap(err, "could not restore the schema (%s)", stage_names[stage]);
    return true;
}
