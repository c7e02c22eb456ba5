/* Questions to the target's catalog. See present.h. */
#include "schema/present.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "schema/array.h"
#include "schema/grants.h"

enum { WITH_MAINTAIN = 170000 };

/* $1, $2: type and identity of each entry. Gives the entry's number, whether it is an index that
 * must be built again (a partitioned one is invalid until all its parts are attached), whether it
 * is a materialised view without data, and what it is a partition of. */
static const char present_sql[] =
    "WITH have(c, o) AS (SELECT 1259::pg_catalog.oid, oid FROM pg_catalog.pg_class"
    "   WHERE oid >= 16384 AND relkind <> 't'"
    "  UNION ALL SELECT 1247, oid FROM pg_catalog.pg_type WHERE oid >= 16384"
    "   AND (typtype = 'd' OR typcategory <> 'A')" /* a domain over an array has its category */
    "  UNION ALL SELECT 1255, oid FROM pg_catalog.pg_proc WHERE oid >= 16384"
    "  UNION ALL SELECT 2606, oid FROM pg_catalog.pg_constraint WHERE oid >= 16384"
    "  UNION ALL SELECT 2620, oid FROM pg_catalog.pg_trigger WHERE NOT tgisinternal"
    "  UNION ALL SELECT 2618, oid FROM pg_catalog.pg_rewrite WHERE oid >= 16384"
    "  UNION ALL SELECT 3256, oid FROM pg_catalog.pg_policy"
    "  UNION ALL SELECT 2615, oid FROM pg_catalog.pg_namespace"
    "  UNION ALL SELECT 3079, oid FROM pg_catalog.pg_extension"
    "  UNION ALL SELECT 2605, oid FROM pg_catalog.pg_cast WHERE oid >= 16384"
    "  UNION ALL SELECT 3456, oid FROM pg_catalog.pg_collation WHERE oid >= 16384"
    "  UNION ALL SELECT 2607, oid FROM pg_catalog.pg_conversion WHERE oid >= 16384"
    "  UNION ALL SELECT 2616, oid FROM pg_catalog.pg_opclass WHERE oid >= 16384"
    "  UNION ALL SELECT 2617, oid FROM pg_catalog.pg_operator WHERE oid >= 16384"
    "  UNION ALL SELECT 2753, oid FROM pg_catalog.pg_opfamily WHERE oid >= 16384"
    "  UNION ALL SELECT 2612, oid FROM pg_catalog.pg_language"
    "  UNION ALL SELECT 3602, oid FROM pg_catalog.pg_ts_config WHERE oid >= 16384"
    "  UNION ALL SELECT 3600, oid FROM pg_catalog.pg_ts_dict WHERE oid >= 16384"
    "  UNION ALL SELECT 3601, oid FROM pg_catalog.pg_ts_parser WHERE oid >= 16384"
    "  UNION ALL SELECT 3764, oid FROM pg_catalog.pg_ts_template WHERE oid >= 16384"
    "  UNION ALL SELECT 2328, oid FROM pg_catalog.pg_foreign_data_wrapper"
    "  UNION ALL SELECT 1417, oid FROM pg_catalog.pg_foreign_server"
    "  UNION ALL SELECT 3381, oid FROM pg_catalog.pg_statistic_ext"
    "  UNION ALL SELECT 3576, oid FROM pg_catalog.pg_transform"
    "  UNION ALL SELECT 2601, oid FROM pg_catalog.pg_am)"
    " SELECT w.n, coalesce(c.relkind = 'i' AND NOT x.indisvalid, false),"
    "  coalesce(c.relkind = 'm' AND NOT c.relispopulated, false),"
    "  CASE WHEN c.relispartition THEN (SELECT p.identity FROM pg_catalog.pg_inherits h,"
    "   pg_catalog.pg_identify_object(1259, h.inhparent, 0) p WHERE h.inhrelid = c.oid) END"
    " FROM have h CROSS JOIN LATERAL pg_catalog.pg_identify_object(h.c, h.o, 0) i"
    " JOIN ROWS FROM (unnest($1::text[]), unnest($2::text[])) WITH ORDINALITY w(type, identity, n)"
    "  ON w.type = i.type AND w.identity = i.identity"
    " LEFT JOIN pg_catalog.pg_class c ON h.c = 1259 AND c.oid = h.o"
    " LEFT JOIN pg_catalog.pg_index x ON h.c = 1259 AND x.indexrelid = h.o";

bool present_ask(struct conn *target, struct toc *toc, struct err *err)
{
    AUTO(buf_release) struct buf types = BUF_INIT;
    AUTO(buf_release) struct buf identities = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    for (size_t i = 0; i < toc->count; i++) {
        array_add(&types, toc->items[i].type);
        array_add(&identities, toc->items[i].identity);
    }
    const char *const params[] = {array_end(&types), array_end(&identities)};
    if (!conn_query_params(target, present_sql, 2, params, &rows, err))
        return err_wrap(err, "could not read the catalog");
    for (int row = 0; row < rows_count(rows); row++) {
        int64_t number = rows_int(rows, row, 0);
        if (number < 1 || (size_t)number > toc->count)
            continue;
        struct toc_entry *entry = &toc->items[number - 1];
        entry->is_present = true;
        entry->is_invalid = rows_bool(rows, row, 1);
        entry->is_unpopulated = rows_bool(rows, row, 2);
        str_set(&entry->parent_identity, str_dup(rows_text(rows, row, 3)));
    }
    return true;
}

/* What the target says about names: roles ("exists", "may become") or tablespaces. */
struct names {
    struct strv missing;
    struct strv unusable; /* exist, but not for our user */
};

static void names_release(struct names *names)
{
    strv_release(&names->missing);
    strv_release(&names->unusable);
}

static bool ask_names(struct conn *target, const struct facts *facts, const char *kinds,
                      const char *sql, struct names *ret_names, struct err *err)
{
    AUTO(buf_release) struct buf array = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        if (strchr(kinds, (int)fact->kind))
            array_add(&array, fact->kind == FACT_MAPPING ? fact->b : fact->a);
    }
    const char *const params[] = {array_end(&array)};
    if (!conn_query_params(target, sql, 1, params, &rows, err))
        return err_wrap(err, "could not read the catalog");
    for (int row = 0; row < rows_count(rows); row++)
        strv_add(rows_bool(rows, row, 1) ? &ret_names->unusable : &ret_names->missing,
                 rows_text(rows, row, 0));
    return true;
}

/* Each name once that is missing or that our user may not become. */
static const char roles_sql[] =
    "SELECT DISTINCT w.name, r.oid IS NOT NULL FROM unnest($1::text[]) w(name)"
    " LEFT JOIN pg_catalog.pg_roles r ON r.rolname = w.name"
    " WHERE w.name <> '' AND (r.oid IS NULL OR NOT pg_catalog.pg_has_role(r.oid, '%s'))"
    " ORDER BY 1";

static const char tablespaces_sql[] =
    "SELECT DISTINCT w.name, s.oid IS NOT NULL FROM unnest($1::text[]) w(name)"
    " LEFT JOIN pg_catalog.pg_tablespace s ON s.spcname = w.name"
    " WHERE s.oid IS NULL OR NOT pg_catalog.has_tablespace_privilege(s.oid, 'CREATE')"
    " ORDER BY 1";

/* The line goes on with "- TAG owner". */
static bool is_mapping(const struct toc_entry *entry, const char *tag)
{
    size_t len = strlen(tag);
    return entry->kind == TOC_USER_MAPPING && strncmp(entry->rest, "- ", 2) == 0 &&
           strncmp(entry->rest + 2, tag, len) == 0 && strchr(" ", entry->rest[2 + len]);
}

/* The roles that entries name, as far as this target cannot have them named. */
struct refused {
    struct names grantees;
    struct names grantors;
    struct names others;   /* of policies and user mappings */
    struct strv providers; /* of security labels, that the target has not loaded */
};

static void refused_release(struct refused *refused)
{
    names_release(&refused->grantees);
    names_release(&refused->grantors);
    names_release(&refused->others);
    strv_release(&refused->providers);
}

static bool is_refused(const struct refused *refused, const struct fact *fact)
{
    switch (fact->kind) {
    case FACT_GRANTEE:
        return strv_has(&refused->grantees.missing, fact->a);
    case FACT_GRANTOR:
        return strv_has(&refused->grantors.missing, fact->a) ||
               strv_has(&refused->grantors.unusable, fact->a);
    case FACT_POLICY_ROLE:
        return strv_has(&refused->others.missing, fact->a);
    case FACT_MAPPING:
        return strv_has(&refused->others.missing, fact->b);
    case FACT_LABEL:
        return strv_has(&refused->providers, fact->a);
    case FACT_MAINTAIN:
    case FACT_POLICY:
    case FACT_POWERFUL:
    case FACT_REVOKE:
    case FACT_GRANT:
    case FACT_GRANT_MAINTAIN:
    case FACT_OBJECT:
    case FACT_REPEATABLE:
    case FACT_POPULATED:
    case FACT_LEFT_OUT:
    case FACT_NOT_OWNED:
    case FACT_OWNER:
    case FACT_TABLESPACE:
        return false;
    }
    return false;
}

static bool object_is_refused(const struct facts *facts, const struct refused *refused,
                              enum fact_kind kind, uint32_t catalog, uint32_t oid)
{
    const struct fact *fact = facts_find(facts, kind, catalog, oid);
    while (fact && !is_refused(refused, fact))
        fact = fact_next(facts, fact);
    return fact != NULL;
}

static bool grants_are_refused(const struct facts *facts, const struct refused *refused,
                               uint32_t catalog, uint32_t oid)
{
    return object_is_refused(facts, refused, FACT_GRANTEE, catalog, oid) ||
           object_is_refused(facts, refused, FACT_GRANTOR, catalog, oid);
}

/* Whether a role is refused of which an object that is not in the dump (built in, or a member of
 * an extension) has grants: the entries of such grants do not tell the object. */
static bool foreign_grant_is_refused(const struct facts *facts, const struct refused *refused)
{
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        if ((fact->kind == FACT_GRANTEE || fact->kind == FACT_GRANTOR) &&
            is_refused(refused, fact) && !facts_find(facts, FACT_OBJECT, fact->catalog, fact->oid))
            return true;
    }
    return false;
}

static bool mapping_is_refused(const struct facts *facts, const struct refused *refused,
                               const struct toc_entry *entry)
{
    const struct fact *fact = facts_find(facts, FACT_MAPPING, 0, 0);
    while (fact && !(is_mapping(entry, fact->a) && is_refused(refused, fact)))
        fact = fact_next(facts, fact);
    return fact != NULL;
}

static bool entry_is_refused(const struct facts *facts, const struct refused *refused,
                             const struct toc *toc, const struct toc_entry *entry,
                             bool foreign_is_refused)
{
    const struct toc_entry *object = entry->dep_count ? toc_find(toc, entry->deps[0]) : NULL;
    if (entry->kind == TOC_POLICY)
        return object_is_refused(facts, refused, FACT_POLICY_ROLE, entry->catalog, entry->oid);
    if (entry->kind == TOC_USER_MAPPING)
        return mapping_is_refused(facts, refused, entry);
    if (entry->kind == TOC_DEFAULT_ACL)
        return grants_are_refused(facts, refused, entry->catalog, entry->oid);
    if (entry->kind == TOC_SECURITY_LABEL && object)
        return object_is_refused(facts, refused, FACT_LABEL, object->catalog, object->oid);
    if (entry->kind != TOC_ACL)
        return false;
    return object ? grants_are_refused(facts, refused, object->catalog, object->oid)
                  : foreign_is_refused;
}

/* A restrictive policy must still restrict the roles that are there. */
static bool keep_policy(const struct facts *facts, const struct refused *refused,
                        struct toc_entry *policy, struct strv *warnings)
{
    char *sql = grants_policy_sql(facts, policy, &refused->others.missing);
    if (!sql)
        return false;
    if (!policy->is_present)
        policy->policy = sql;
    else
        free(sql);
    policy->is_present = true; /* for pg_restore, which would make it for all */
    strv_take(warnings, str_fmt("policy %s is made without the roles that the target lacks",
                                policy->identity));
    return true;
}

static void leave_out_refused(const struct facts *facts, const struct refused *refused,
                              struct toc *toc, struct strv *warnings)
{
    bool foreign_is_refused = foreign_grant_is_refused(facts, refused);
    for (size_t i = 0; i < toc->count; i++) {
        struct toc_entry *entry = &toc->items[i];
        if (entry->is_left_out || !entry_is_refused(facts, refused, toc, entry, foreign_is_refused))
            continue;
        if (entry->kind == TOC_POLICY && keep_policy(facts, refused, entry, warnings))
            continue;
        entry->is_left_out = true;
        if (entry->kind == TOC_POLICY)
            strv_take(warnings,
                      str_fmt("policy %s is left out: the target lacks its role", entry->identity));
        else if (entry->kind == TOC_USER_MAPPING)
            strv_take(warnings, str_fmt("a user mapping is left out, the target lacks its role: %s",
                                        entry->rest));
    }
    toc_leave_out(toc); /* comments on them too */
}

/* For objects whose privileges are left out as a whole: those that can be given. */
static void grant_singly(const struct facts *facts, const struct grants_limits *limits,
                         struct toc *toc)
{
    for (size_t i = 0; i < toc->count; i++) {
        const struct toc_entry *entry = &toc->items[i];
        struct toc_entry *object = entry->dep_count ? toc_find(toc, entry->deps[0]) : NULL;
        if (entry->kind == TOC_ACL && entry->is_left_out && object && !object->is_left_out &&
            !object->grants)
            object->grants = grants_sql(facts, object, limits);
    }
}

/* pg_dump writes all privileges on an object as one entry: the others are granted singly. */
static void leave_out_maintain(const struct facts *facts, int version, struct toc *toc,
                               struct strv *warnings)
{
    for (size_t i = 0; i < toc->count && version < WITH_MAINTAIN; i++) {
        struct toc_entry *entry = &toc->items[i];
        const struct toc_entry *object = entry;
        if (entry->kind == TOC_ACL && entry->dep_count)
            object = toc_find(toc, entry->deps[0]);
        else if (entry->kind != TOC_DEFAULT_ACL)
            continue;
        if (!object || entry->is_left_out ||
            !facts_find(facts, FACT_MAINTAIN, object->catalog, object->oid))
            continue;
        entry->is_left_out = true;
        strv_take(warnings, str_fmt("%s %s is left out: PostgreSQL %d has no such privilege",
                                    entry->kind == TOC_ACL ? "MAINTAIN on" : "with MAINTAIN,",
                                    object->identity, version / 10000));
    }
}

static bool mark_mappings(struct conn *target, struct toc *toc, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query(target,
                    "SELECT pg_catalog.translate('USER MAPPING ' || usename || ' SERVER ' ||"
                    " srvname, E'\\r\\n', '  ') FROM pg_catalog.pg_user_mappings",
                    &rows, err))
        return err_wrap(err, "could not read the catalog");
    for (size_t i = 0; i < toc->count; i++)
        for (int row = 0; row < rows_count(rows); row++)
            if (is_mapping(&toc->items[i], rows_text(rows, row, 0)))
                toc->items[i].is_present = true;
    return true;
}

bool present_has_provider(struct conn *target, const char *provider, bool *ret_has, struct err *err)
{
    static const char unknown_provider[] = "22023"; /* looked for before any right is */
    struct err why = {0};
    if (!conn_exec(target, "BEGIN", err))
        return false;
    *ret_has =
        conn_execf(target, &why, "SECURITY LABEL FOR %I ON SCHEMA pg_catalog IS NULL", provider) ||
        strcmp(why.sqlstate, unknown_provider) != 0;
    return conn_exec(target, "ROLLBACK", err);
}

static bool ask_providers(struct conn *target, const struct facts *facts, struct strv *missing,
                          struct err *err)
{
    AUTO(strv_release) struct strv asked = STRV_INIT;
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        bool has = true;
        if (fact->kind != FACT_LABEL || strv_has(&asked, fact->a))
            continue;
        if (!present_has_provider(target, fact->a, &has, err))
            return false;
        strv_add(&asked, fact->a);
        if (!has)
            strv_add(missing, fact->a);
    }
    return true;
}

static void warn(struct strv *warnings, const char *what, const char *lack,
                 const struct strv *names)
{
    if (!names->count)
        return;
    AUTO(str_free) char *list = strv_join(names, ", ");
    strv_take(warnings, str_fmt("%s: %s %s", what, lack, list));
}

static void warn_all(const struct names *owners, const struct refused *refused,
                     const struct names *spaces, struct strv *warnings)
{
    static const char to_user[] = "everything will belong to the target's user";
    static const char no_grants[] = "privileges are left out";
    static const char default_space[] = "the default tablespace is used";
    static const char lacks[] = "the target lacks role";
    static const char cannot[] = "the target's user may not act for role";
    warn(warnings, to_user, lacks, &owners->missing);
    warn(warnings, to_user, cannot, &owners->unusable);
    warn(warnings, no_grants, lacks, &refused->grantees.missing);
    warn(warnings, no_grants, lacks, &refused->grantors.missing);
    warn(warnings, no_grants, cannot, &refused->grantors.unusable);
    warn(warnings, "security labels are left out", "the target has not loaded label provider",
         &refused->providers);
    warn(warnings, default_space, "the target lacks tablespace", &spaces->missing);
    warn(warnings, default_space, "the target's user may not use tablespace", &spaces->unusable);
}

bool present_limits(struct conn *target, const struct facts *facts, struct toc *toc,
                    struct present_limits *limits, struct strv *warnings, struct err *err)
{
    AUTO(names_release) struct names owners = {0};
    AUTO(refused_release) struct refused refused = {0};
    AUTO(names_release) struct names spaces = {0};
    AUTO(str_free)
    char *sql = str_fmt(roles_sql, conn_version(target) >= 160000 ? "SET" : "MEMBER");
    if ((!limits->without_owners && !ask_names(target, facts, "O", sql, &owners, err)) ||
        (!limits->without_privileges &&
         (!ask_names(target, facts, "A", sql, &refused.grantees, err) ||
          !ask_names(target, facts, "G", sql, &refused.grantors, err))) ||
        !ask_names(target, facts, "PU", sql, &refused.others, err) ||
        !ask_providers(target, facts, &refused.providers, err) ||
        !ask_names(target, facts, "T", tablespaces_sql, &spaces, err) ||
        !mark_mappings(target, toc, err))
        return false;
    limits->without_owners |= owners.missing.count || owners.unusable.count;
    limits->without_tablespaces |= spaces.missing.count || spaces.unusable.count;
    warn_all(&owners, &refused, &spaces, warnings);
    if (!limits->without_privileges)
        leave_out_maintain(facts, conn_version(target), toc, warnings);
    leave_out_refused(facts, &refused, toc, warnings);
    struct grants_limits singly = {&refused.grantees.missing, limits->without_owners,
                                   conn_version(target) < WITH_MAINTAIN};
    if (!limits->without_privileges)
        grant_singly(facts, &singly, toc);
    return true;
}

/* --- locks --- */

/* Of a relation: its own, and those of a TOAST table with its index, of a constraint's index. All
 * sessions share the table of locks: half of it is left to others. */
enum { LOCKS_EACH = 4, SHARE = 2 };

bool present_locks(struct conn *target, const struct toc *toc, enum schema_stage stage,
                   struct present_limits *limits, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    int64_t relations = 0;
    for (size_t i = 0; i < toc->count; i++)
        relations += toc->items[i].stage == stage && toc->items[i].kind == TOC_TABLE;
    if (!conn_query(target,
                    "SELECT current_setting('max_locks_per_transaction')::int8 *"
                    " (current_setting('max_connections')::int8 +"
                    " current_setting('max_prepared_transactions')::int8)",
                    &rows, err))
        return err_wrap(err, "could not read the target's settings");
    limits->one_by_one = relations * LOCKS_EACH * SHARE > rows_int(rows, 0, 0);
    return true;
}
