/* Facts about the dumped objects: asked, kept in a file, applied to the list. See facts.h. The
 * file is a run of fields, each ended by NUL, five to a fact: kind, catalog, oid, a, b. */
#include "schema/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "schema/array.h"
#include "schema/facts_sql.h"

enum { FIELDS = 5 };

void facts_release(struct facts *facts)
{
    free(facts->text);
    free(facts->items);
    *facts = FACTS_INIT;
}

static int compare(const void *left, const void *right)
{
    const struct fact *l = left;
    const struct fact *r = right;
    if (l->kind != r->kind)
        return l->kind < r->kind ? -1 : 1;
    if (l->catalog != r->catalog)
        return l->catalog < r->catalog ? -1 : 1;
    return l->oid == r->oid ? 0 : l->oid < r->oid ? -1 : 1;
}

const struct fact *facts_find(const struct facts *facts, enum fact_kind kind, uint32_t catalog,
                              uint32_t oid)
{
    struct fact key = {.kind = kind, .catalog = catalog, .oid = oid};
    const struct fact *found = NULL;
    if (facts->count)
        found = bsearch(&key, facts->items, facts->count, sizeof(key), compare);
    while (found && found > facts->items && compare(found - 1, &key) == 0)
        found--;
    return found;
}

const struct fact *fact_next(const struct facts *facts, const struct fact *fact)
{
    const struct fact *next = fact + 1;
    return next < facts->items + facts->count && compare(fact, next) == 0 ? next : NULL;
}

static const char *next_field(const char **at)
{
    const char *field = *at;
    *at += strlen(field) + 1;
    return field;
}

/* Splits the text (which ends in NUL) into facts. */
static bool facts_split(struct buf *text, struct facts *ret_facts)
{
    size_t ends = 0;
    for (size_t i = 0; i < text->len; i++)
        ends += text->data[i] == '\0';
    if (ends % FIELDS != 0 || (text->len && text->data[text->len - 1] != '\0'))
        return false;
    struct facts facts = {.text_len = text->len, .count = ends / FIELDS};
    facts.items = mem_alloc(facts.count * sizeof(*facts.items));
    facts.text = buf_take(text);
    const char *at = facts.text;
    for (size_t i = 0; i < facts.count; i++) {
        struct fact *fact = &facts.items[i];
        fact->kind = (enum fact_kind)(unsigned char)next_field(&at)[0];
        fact->catalog = (uint32_t)strtoul(next_field(&at), NULL, 10);
        fact->oid = (uint32_t)strtoul(next_field(&at), NULL, 10);
        fact->a = next_field(&at);
        fact->b = next_field(&at);
    }
    if (facts.count)
        qsort(facts.items, facts.count, sizeof(*facts.items), compare);
    *ret_facts = facts;
    return true;
}

static bool ask(struct conn *source, const char *sql, int count, const char *const *params,
                struct buf *text, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    if (!conn_query_params(source, sql, count, params, &rows, err))
        return err_wrap(err, "could not read the catalog");
    for (int row = 0; row < rows_count(rows); row++)
        for (int column = 0; column < FIELDS; column++) {
            const char *field = rows_text(rows, row, column);
            buf_add(text, field ? field : "", field ? strlen(field) + 1 : 1);
        }
    return true;
}

static bool ask_selection(struct conn *source, const struct table_list *selected,
                          const char *keeper, struct buf *text, struct err *err)
{
    AUTO(buf_release) struct buf oids = BUF_INIT;
    for (size_t i = 0; i < selected->count; i++)
        array_add_oid(&oids, selected->items[i].oid);
    const char *const params[] = {array_end(&oids), keeper};
    return ask(source, facts_selection_sql, 2, params, text, err);
}

static bool check_selection(const struct facts *facts, const struct table_list *selected,
                            struct err *err)
{
    for (size_t i = 0; i < selected->count; i++) {
        const struct table *table = &selected->items[i];
        if (!facts_find(facts, FACT_LEFT_OUT, 1259, table->oid))
            continue;
        AUTO(str_free) char *label = table_label(table);
        (void)err_set(err, ERR_CONFIG, "cannot copy table %s without a table that it needs", label);
        return err_hint(err, "select the tables that it inherits from or whose row types it has");
    }
    return true;
}

bool facts_ask(struct conn *source, const struct toc *toc, const struct table_list *selected,
               const char *keeper, struct facts *ret_facts, struct err *err)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(buf_release) struct buf catalogs = BUF_INIT;
    AUTO(buf_release) struct buf oids = BUF_INIT;
    AUTO(facts_release) struct facts facts = FACTS_INIT;
    for (size_t i = 0; i < toc->count; i++)
        if (toc->items[i].catalog && toc->items[i].oid) {
            array_add_oid(&catalogs, toc->items[i].catalog);
            array_add_oid(&oids, toc->items[i].oid);
        }
    const char *const params[] = {array_end(&catalogs), array_end(&oids)};
    if (!ask(source, facts_objects_sql, 2, params, &text, err) ||
        !ask(source, facts_grants_sql, 2, params, &text, err) ||
        !ask(source, facts_roles_sql, 0, NULL, &text, err) ||
        (selected && !ask_selection(source, selected, keeper, &text, err)))
        return false;
    if (!facts_split(&text, &facts))
        return err_set(err, ERR_FATAL, "could not read the catalog: fields are missing");
    if (selected && !check_selection(&facts, selected, err))
        return false;
    *ret_facts = facts;
    facts = FACTS_INIT;
    return true;
}

static void file_close(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

bool facts_save(const struct facts *facts, const char *path, struct err *err)
{
    AUTO(str_free) char *draft = str_fmt("%s.new", path);
    AUTO(file_close) FILE *file = fopen(draft, "we");
    bool is_written = file && fwrite(facts->text, 1, facts->text_len, file) == facts->text_len;
    if (!is_written || fflush(file) != 0 || rename(draft, path) != 0)
        return err_set(err, ERR_FATAL, "could not write \"%s\": %s", path, strerror(errno));
    return true;
}

bool facts_load(const char *path, struct facts *ret_facts, struct err *err)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(file_close) FILE *file = fopen(path, "re");
    char chunk[8192];
    size_t got;
    if (!file)
        return err_set(err, ERR_FATAL, "could not read \"%s\": %s", path, strerror(errno));
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(&text, chunk, got);
    if (ferror(file) || !facts_split(&text, ret_facts))
        return err_set(err, ERR_FATAL, "could not read \"%s\": it is damaged", path);
    return true;
}

void facts_apply(const struct facts *facts, struct toc *toc)
{
    for (size_t i = 0; i < toc->count; i++) {
        struct toc_entry *e = &toc->items[i];
        const struct fact *object = facts_find(facts, FACT_OBJECT, e->catalog, e->oid);
        const struct fact *left_out = facts_find(facts, FACT_LEFT_OUT, e->catalog, e->oid);
        const struct toc_entry *dep = e->dep_count ? toc_find(toc, e->deps[0]) : NULL;
        e->type = object ? object->a : NULL;
        e->identity = object ? object->b : NULL;
        e->is_repeatable = facts_find(facts, FACT_REPEATABLE, e->catalog, e->oid) != NULL;
        e->is_powerful = facts_find(facts, FACT_POWERFUL, e->catalog, e->oid) != NULL;
        e->is_populated = facts_find(facts, FACT_POPULATED, e->catalog, e->oid) != NULL;
        e->is_left_out =
            left_out != NULL || (e->kind == TOC_SEQUENCE_OWNED_BY && dep &&
                                 facts_find(facts, FACT_NOT_OWNED, dep->catalog, dep->oid) != NULL);
        e->is_part_of_table = left_out && strcmp(left_out->a, "part") == 0;
    }
    toc_assign_stages(toc);
    toc_leave_out(toc);
}

void facts_list_left_out(const struct toc *toc, struct strv *list)
{
    for (size_t i = 0; i < toc->count; i++) {
        const struct toc_entry *e = &toc->items[i];
        if (e->is_left_out && !e->is_part_of_table && e->identity)
            strv_take(list, str_fmt("%s %s", e->type, e->identity));
    }
}
