/* The three lists of table patterns as one rule. See selection.h. */
#include "conf/selection.h"

#include "base/buf.h"
#include "base/mem.h"

void selection_release(struct selection *selection)
{
    pattern_list_release(&selection->tables);
    pattern_list_release(&selection->excluded);
    pattern_list_release(&selection->schema_only);
}

bool selection_read(const struct settings *settings, struct selection *ret, struct err *err)
{
    return pattern_list_parse(&settings->tables, &ret->tables, err) &&
           pattern_list_parse(&settings->excluded_tables, &ret->excluded, err) &&
           pattern_list_parse(&settings->schema_only_tables, &ret->schema_only, err);
}

/* An empty list names nothing here. */
static bool is_named(const struct pattern_list *list, const struct selected *table)
{
    return list->count > 0 &&
           (pattern_list_match(list, table->schema, table->name) ||
            (table->root_name && pattern_list_match(list, table->root_schema, table->root_name)));
}

bool selection_covers(struct selection *selection, const struct selected *table)
{
    bool by_itself = pattern_list_mark(&selection->tables, table->schema, table->name);
    bool by_root = table->root_name &&
                   pattern_list_mark(&selection->tables, table->root_schema, table->root_name);
    return (by_itself || by_root) && !is_named(&selection->excluded, table);
}

bool selection_is_schema_only(const struct selection *selection, const struct selected *table)
{
    return is_named(&selection->schema_only, table);
}

bool selection_is_all(const struct selection *selection)
{
    return selection->tables.count == 0 && selection->excluded.count == 0;
}

char *selection_text(const struct settings *settings)
{
    struct buf text = BUF_INIT;
    AUTO(str_free) char *tables = strv_join(&settings->tables, " ");
    AUTO(str_free) char *excluded = strv_join(&settings->excluded_tables, " ");
    AUTO(str_free) char *schema_only = strv_join(&settings->schema_only_tables, " ");
    buf_puts(&text, tables);
    if (*excluded)
        buf_fmt(&text, " except %s", excluded);
    if (*schema_only)
        buf_fmt(&text, " without rows %s", schema_only);
    return buf_take(&text);
}

bool selection_check(const struct selection *selection, struct err *err)
{
    AUTO(strv_release) struct strv unmatched = STRV_INIT;
    pattern_list_unmatched(&selection->tables, &unmatched);
    if (!unmatched.count)
        return true;
    AUTO(str_free) char *names = strv_join(&unmatched, ", ");
    (void)err_set(err, ERR_CONFIG, "no table of the source matches %s", names);
    return err_hint(err, "a name without schema means public; quote names with capitals: "
                         "--tables '\"My Table\", other.*'");
}
