/* Reading and filtering the list of a dump. See toc.h. */
#include "schema/toc.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_ID = 1 << 28 };

/* Catalogs by their fixed OIDs, which pg_restore prints. */
enum {
    PG_CLASS = 1259,
    PG_TYPE = 1247,
    PG_ATTRDEF = 2604,
    PG_CONSTRAINT = 2606,
    PG_REWRITE = 2618,
    PG_TRIGGER = 2620,
    PG_POLICY = 3256,
    PG_EXTENSION = 3079,
    PG_EVENT_TRIGGER = 3466,
    PG_DEFAULT_ACL = 826,
};

/* One description may begin with another, or a schema's name continue it ("TABLE" of a schema
 * "ATTACH"): the catalog decides. catalog 1: any. */
static const struct {
    const char *text;
    uint32_t catalog;
    enum toc_kind kind;
} descriptions[] = {
    {"ACL", 0, TOC_ACL},
    {"COMMENT", 0, TOC_COMMENT},
    {"DEFAULT", PG_ATTRDEF, TOC_DEFAULT},
    {"DEFAULT ACL", PG_DEFAULT_ACL, TOC_DEFAULT_ACL},
    {"DOMAIN", PG_TYPE, TOC_OTHER},
    {"EVENT TRIGGER", PG_EVENT_TRIGGER, TOC_EVENT_TRIGGER},
    {"EXTENSION", PG_EXTENSION, TOC_EXTENSION},
    {"FK CONSTRAINT", PG_CONSTRAINT, TOC_FK},
    {"INDEX", PG_CLASS, TOC_INDEX},
    {"INDEX ATTACH", 0, TOC_INDEX_ATTACH},
    {"POLICY", PG_POLICY, TOC_POLICY},
    {"PUBLICATION", 1, TOC_PUBLICATION},
    {"ROW SECURITY", 0, TOC_ROW_SECURITY},
    {"RULE", PG_REWRITE, TOC_RULE},
    {"SECURITY LABEL", 0, TOC_SECURITY_LABEL},
    {"SEQUENCE OWNED BY", 0, TOC_SEQUENCE_OWNED_BY},
    {"SHELL TYPE", 0, TOC_SHELL_TYPE},
    {"SUBSCRIPTION", 1, TOC_SUBSCRIPTION},
    {"TABLE", PG_CLASS, TOC_TABLE},
    {"TABLE ATTACH", 0, TOC_TABLE_ATTACH},
    {"TRIGGER", PG_TRIGGER, TOC_TRIGGER},
    {"TYPE", PG_TYPE, TOC_TYPE},
    {"USER MAPPING", 0, TOC_USER_MAPPING},
};

void toc_release(struct toc *toc)
{
    for (size_t i = 0; i < toc->count; i++) {
        free(toc->items[i].line);
        free(toc->items[i].deps);
        free(toc->items[i].parent_identity);
        free(toc->items[i].grants);
        free(toc->items[i].policy);
    }
    free(toc->items);
    free(toc->by_id);
    *toc = TOC_INIT;
}

struct toc_entry *toc_find(const struct toc *toc, int id)
{
    if (id < 0 || (size_t)id >= toc->id_limit || !toc->by_id[id])
        return NULL;
    return &toc->items[toc->by_id[id] - 1];
}

static void describe(struct toc_entry *entry, const char *text)
{
    entry->rest = text;
    for (size_t i = 0; i < COUNT_OF(descriptions); i++) {
        size_t len = strlen(descriptions[i].text);
        bool is_catalog = descriptions[i].catalog == 1 || descriptions[i].catalog == entry->catalog;
        if (is_catalog && strncmp(text, descriptions[i].text, len) == 0 && text[len] == ' ') {
            entry->kind = descriptions[i].kind;
            entry->rest = text + len + 1;
        }
    }
}

/* "id; catalog oid DESC …" */
static bool parse_line(const char *line, size_t len, struct toc_entry *ret_entry)
{
    AUTO(str_free) char *copy = str_dup_n(line, len);
    char *at = copy;
    long id = strtol(at, &at, 10);
    if (at == copy || *at != ';' || id <= 0 || id > MAX_ID)
        return false;
    unsigned long catalog = strtoul(at + 1, &at, 10);
    unsigned long oid = strtoul(at, &at, 10);
    if (*at != ' ')
        return false;
    *ret_entry =
        (struct toc_entry){.id = (int)id, .catalog = (uint32_t)catalog, .oid = (uint32_t)oid};
    describe(ret_entry, at + 1);
    ret_entry->line = TAKE(copy);
    return true;
}

/* ";\tdepends on: 1 2 3" */
static void parse_deps(const char *line, size_t len, struct toc_entry *entry)
{
    static const char head[] = ";\tdepends on:";
    if (len < sizeof(head) || strncmp(line, head, sizeof(head) - 1) != 0)
        return;
    const char *at = line + sizeof(head) - 1;
    while (at < line + len) {
        char *end;
        long id = strtol(at, &end, 10);
        if (end == at || end > line + len)
            return;
        entry->deps = mem_resize(entry->deps, entry->dep_count + 1, sizeof(*entry->deps));
        entry->deps[entry->dep_count++] = id > 0 && id <= MAX_ID ? (int)id : 0;
        at = end;
    }
}

static void append(struct toc *toc, struct toc_entry *take_entry)
{
    if ((toc->count & (toc->count - 1)) == 0) /* doubles at powers of two */
        toc->items = mem_resize(toc->items, toc->count ? toc->count * 2 : 1, sizeof(*toc->items));
    toc->items[toc->count++] = *take_entry;
}

static bool parse_all(const char *text, struct toc *toc, struct err *err)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        struct toc_entry entry;
        if (*text == ';') {
            if (toc->count)
                parse_deps(text, len, &toc->items[toc->count - 1]);
        } else if (len && !parse_line(text, len, &entry)) {
            return err_set(err, ERR_FATAL, "cannot read the list of pg_restore: \"%.*s\"",
                           (int)MIN_OF(len, 200), text);
        } else if (len) {
            append(toc, &entry);
        }
        text += len + (text[len] == '\n');
    }
    return true;
}

static void index_by_id(struct toc *toc)
{
    free(toc->by_id);
    toc->id_limit = 0;
    for (size_t i = 0; i < toc->count; i++)
        toc->id_limit = MAX_OF(toc->id_limit, (size_t)toc->items[i].id + 1);
    toc->by_id = mem_alloc((toc->id_limit + 1) * sizeof(*toc->by_id));
    for (size_t i = 0; i < toc->count; i++)
        toc->by_id[toc->items[i].id] = i + 1;
}

/* The entries of the two sections, in their order, with what the verbose list knows of them. */
static void merge(struct toc *all, struct toc *section, bool is_after_rows, struct toc *into)
{
    for (size_t i = 0; i < section->count; i++) {
        struct toc_entry *known = toc_find(all, section->items[i].id);
        struct toc_entry entry = section->items[i];
        section->items[i] = (struct toc_entry){0};
        entry.is_after_rows = is_after_rows;
        if (known) {
            entry.deps = TAKE(known->deps);
            entry.dep_count = known->dep_count;
        }
        append(into, &entry);
    }
}

bool toc_parse(const char *verbose, const char *before_rows, const char *after_rows,
               struct toc *ret_toc, struct err *err)
{
    AUTO(toc_release) struct toc all = TOC_INIT;
    AUTO(toc_release) struct toc before = TOC_INIT;
    AUTO(toc_release) struct toc after = TOC_INIT;
    if (!parse_all(verbose, &all, err) || !parse_all(before_rows, &before, err) ||
        !parse_all(after_rows, &after, err))
        return false;
    struct toc toc = TOC_INIT;
    index_by_id(&all);
    merge(&all, &before, false, &toc);
    merge(&all, &after, true, &toc);
    index_by_id(&toc);
    *ret_toc = toc;
    return true;
}

static const struct toc_entry *dep_of(const struct toc *toc, const struct toc_entry *entry,
                                      size_t number)
{
    return number < entry->dep_count ? toc_find(toc, entry->deps[number]) : NULL;
}

static bool is_schema(const struct toc_entry *entry)
{
    return entry && entry->type && strcmp(entry->type, "schema") == 0;
}

/* Everybody may call a new function. One that does what its caller may not (SECURITY DEFINER, an
 * untrusted language) is never there without the rights that it has on the source. */
enum schema_stage toc_rights_stage(const struct toc_entry *object)
{
    if (is_schema(object))
        return SCHEMA_TABLES;
    return object->is_powerful ? object->stage : SCHEMA_KEYS;
}

/* Whether an entry is kept for the end: it checks rows against other tables, or acts on writes. A
 * view's own rule (which completes a view that pg_dump had to split) is not. */
static bool is_late_kind(const struct toc *toc, const struct toc_entry *entry)
{
    switch (entry->kind) {
    case TOC_FK:
    case TOC_TRIGGER:
    case TOC_POLICY:
    case TOC_ROW_SECURITY:
    case TOC_DEFAULT_ACL: /* would alter the rights of what is made after it */
        return true;
    case TOC_RULE:
        return !entry->is_repeatable;
    case TOC_ACL: /* an owner may have taken rights from itself that the copy needs */
        return !dep_of(toc, entry, 0) || toc_rights_stage(dep_of(toc, entry, 0)) == SCHEMA_KEYS;
    case TOC_OTHER:
    case TOC_COMMENT:
    case TOC_DEFAULT:
    case TOC_EVENT_TRIGGER:
    case TOC_EXTENSION:
    case TOC_INDEX:
    case TOC_INDEX_ATTACH:
    case TOC_PUBLICATION:
    case TOC_SECURITY_LABEL:
    case TOC_SEQUENCE_OWNED_BY:
    case TOC_SHELL_TYPE:
    case TOC_SUBSCRIPTION:
    case TOC_TABLE:
    case TOC_TABLE_ATTACH:
    case TOC_TYPE:
    case TOC_USER_MAPPING:
        return false;
    }
    return false;
}

static bool hangs_on_stage(const struct toc *toc, const struct toc_entry *entry,
                           enum schema_stage stage)
{
    for (size_t d = 0; d < entry->dep_count; d++) {
        const struct toc_entry *dep = toc_find(toc, entry->deps[d]);
        if (dep && dep->stage == stage)
            return true;
    }
    return false;
}

static enum toc_pass pass_of(const struct toc *toc, const struct toc_entry *entry)
{
    if (is_schema(entry) || (entry->catalog == 0 && is_schema(dep_of(toc, entry, 0))))
        return PASS_SCHEMAS;
    if (entry->kind == TOC_INDEX_ATTACH)
        return PASS_ATTACH;
    return entry->kind == TOC_TRIGGER && entry->is_repeatable ? PASS_STATES : PASS_MAIN;
}

void toc_assign_stages(struct toc *toc)
{
    for (size_t i = 0; i < toc->count; i++) { /* what is depended on stands first */
        struct toc_entry *entry = &toc->items[i];
        entry->pass = pass_of(toc, entry);
        if (is_late_kind(toc, entry) || hangs_on_stage(toc, entry, SCHEMA_KEYS))
            entry->stage = SCHEMA_KEYS;
        else if (entry->is_after_rows || hangs_on_stage(toc, entry, SCHEMA_INDEXES))
            entry->stage = SCHEMA_INDEXES;
        else
            entry->stage = SCHEMA_TABLES;
    }
}

static bool is_never_copied(const struct toc_entry *entry)
{
    return entry->kind == TOC_EVENT_TRIGGER || entry->kind == TOC_PUBLICATION ||
           entry->kind == TOC_SUBSCRIPTION;
}

void toc_leave_out(struct toc *toc)
{
    for (size_t i = 0; i < toc->count; i++) {
        struct toc_entry *entry = &toc->items[i];
        entry->is_left_out |= is_never_copied(entry);
        if (entry->catalog != 0)
            continue; /* an object: the catalog's own dependencies have decided */
        for (size_t d = 0; d < entry->dep_count; d++) {
            const struct toc_entry *dep = toc_find(toc, entry->deps[d]);
            entry->is_left_out |= dep && dep->is_left_out;
        }
    }
}

static bool is_parent(const struct toc_entry *child, const struct toc_entry *parent)
{
    return child && parent && child->parent_identity && parent->identity &&
           strcmp(child->parent_identity, parent->identity) == 0;
}

/* TABLE ATTACH depends on the two tables it joins. */
static bool is_attached(const struct toc *toc, const struct toc_entry *entry)
{
    const struct toc_entry *one = dep_of(toc, entry, 0);
    const struct toc_entry *other = dep_of(toc, entry, 1);
    return is_parent(one, other) || is_parent(other, one);
}

/* A shell type stands for a type of the same name, made in full further down. */
static bool has_full_type(const struct toc *toc, const struct toc_entry *shell)
{
    for (size_t i = 0; i < toc->count; i++)
        if (toc->items[i].kind == TOC_TYPE && strcmp(toc->items[i].rest, shell->rest) == 0)
            return toc->items[i].is_present;
    return false;
}

/* An extension or schema that was there may belong to somebody else. What the dump does not hold
 * (the schema public as every database has it) is not ours to comment either. */
static bool comments_foreign(const struct toc *toc, const struct toc_entry *entry)
{
    const struct toc_entry *object = dep_of(toc, entry, 0);
    if (!object)
        return entry->dep_count > 0;
    bool is_shared = object->kind == TOC_EXTENSION || is_schema(object);
    return is_shared && object->is_present;
}

bool toc_wants(const struct toc *toc, const struct toc_entry *entry)
{
    if (entry->is_left_out)
        return false;
    switch (entry->kind) {
    case TOC_ACL:
    case TOC_DEFAULT:
    case TOC_DEFAULT_ACL:
    case TOC_INDEX_ATTACH: /* does nothing when it is attached */
    case TOC_ROW_SECURITY:
    case TOC_SECURITY_LABEL:
    case TOC_SEQUENCE_OWNED_BY:
        return true;
    case TOC_COMMENT:
        return !comments_foreign(toc, entry);
    case TOC_TABLE_ATTACH:
        return !is_attached(toc, entry);
    case TOC_SHELL_TYPE:
        return !has_full_type(toc, entry);
    case TOC_INDEX:
        return !entry->is_present || entry->is_invalid;
    case TOC_OTHER:
    case TOC_EVENT_TRIGGER:
    case TOC_EXTENSION:
    case TOC_FK:
    case TOC_POLICY:
    case TOC_PUBLICATION:
    case TOC_RULE:
    case TOC_SUBSCRIPTION:
    case TOC_TABLE:
    case TOC_TRIGGER:
    case TOC_TYPE:
    case TOC_USER_MAPPING:
        return !entry->is_present || entry->is_repeatable;
    }
    return false;
}

void toc_write_list(const struct toc *toc, enum schema_stage stage, enum toc_pass pass,
                    struct buf *list)
{
    for (size_t i = 0; i < toc->count; i++) {
        const struct toc_entry *entry = &toc->items[i];
        if (entry->stage == stage && entry->pass == pass && toc_wants(toc, entry))
            buf_fmt(list, "%s\n", entry->line);
    }
}
