/* Texts of databases as JSON. See json.h. */
#include "status/json.h"

#include "base/mem.h"

json_t *json_text_or_null(const char *text)
{
    json_t *json = text ? json_string(text) : json_null();
    if (json)
        return json;
    AUTO(str_free) char *copy = str_dup(text);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(copy);
}
