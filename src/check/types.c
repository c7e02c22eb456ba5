/* Columns whose values do not travel as bytes. See src/pg/types.h. */
#include "pg/types.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check/inside.h"

enum { FIRST_USER_OID = 16384 };

static void names_add_column(struct names *names, const struct table *table,
                             const struct column *column)
{
    AUTO(str_free)
    char *name =
        str_fmt("%s.%s.%s (%s)", table->schema, table->name, column->name, column->type_full);
    names_add(names, name, NULL);
}

/* regclass and its like, and arrays of them: built in. */
static bool names_objects(const struct column *column)
{
    return column->shown_oid < FIRST_USER_OID && strncmp(column->type_name, "reg", 3) == 0;
}

static void find_columns(const struct table *table, const struct types *types, struct names *reg,
                         struct names *text)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        switch (types_ask(types, column->type_oid)) {
        case TYPES_BINARY:
        case TYPES_UNKNOWN:
            break;
        case TYPES_SCALAR_TEXT:
            names_add_column(text, table, column);
            break;
        case TYPES_TEXT:
            names_add_column(names_objects(column) ? reg : text, table, column);
            break;
        }
    }
}

static bool has_special(const struct check *check)
{
    for (size_t i = 0; i < check->tables.count; i++)
        for (size_t c = 0; c < check->tables.items[i].column_count; c++)
            if (!types_is_plain(check->tables.items[i].columns[c].type_oid))
                return true;
    return false;
}

bool check_types(struct check *check, struct err *err)
{
    AUTO(types_free) struct types *types = NULL;
    AUTO(names_release) struct names reg = {0};
    AUTO(names_release) struct names text = {0};
    if (!has_special(check))
        return true;
    if (!types_read(check->source, check->target_version, &types, err))
        return false;
    for (size_t i = 0; i < check->tables.count; i++)
        find_columns(&check->tables.items[i], types, &reg, &text);
    if (reg.count)
        check_warning(check, "reg_column",
                      str_fmt("columns that name objects of the database: %s; a name that the "
                              "target does not know stops the pipeline",
                              names_end(&reg)),
                      str_dup("see that what they name exists on the target; or give them the type "
                              "text"));
    if (text.count)
        check_warning(
            check, "text_column",
            str_fmt("columns whose type has no binary form, or another one on the target: "
                    "%s; they travel as text, and their tables are copied more slowly",
                    names_end(&text)),
            str_dup("nothing has to be done"));
    return true;
}
