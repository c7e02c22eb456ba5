/* Naming a row in errors: its table and key. Values of other columns are never shown. */
#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "target/postgres/inside.h"

enum { KEY_TEXT_MAX = 64 };

/* Type OIDs are fixed for built-in types (PostgreSQL's pg_type.dat). */
enum {
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_OID = 26,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_NAME = 19,
    OID_UUID = 2950
};

static void put_hex(struct buf *out, const struct value *value)
{
    for (uint32_t i = 0; i < MIN_OF(value->len, (uint32_t)KEY_TEXT_MAX / 2); i++)
        buf_fmt(out, "%02x", (unsigned char)value->data[i]);
}

static void put_uuid(struct buf *out, const struct value *value)
{
    for (uint32_t i = 0; i < value->len; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            buf_putc(out, '-');
        buf_fmt(out, "%02x", (unsigned char)value->data[i]);
    }
}

static void put_int(struct buf *out, const struct value *value)
{
    uint64_t wire = 0;
    int64_t number = 0;
    memcpy((char *)&wire + (8 - value->len), value->data, value->len);
    number = (int64_t)be64toh(wire);
    unsigned shift = (8 - value->len) * 8; /* extends the sign */
    number = (int64_t)((uint64_t)number << shift) >> shift;
    buf_fmt(out, "%" PRId64, number);
}

static void put_binary(struct buf *out, uint32_t type_oid, const struct value *value)
{
    bool is_int = (type_oid == OID_INT2 && value->len == 2) ||
                  (type_oid == OID_INT4 && value->len == 4) ||
                  (type_oid == OID_INT8 && value->len == 8);
    bool is_text = type_oid == OID_TEXT || type_oid == OID_VARCHAR || type_oid == OID_BPCHAR ||
                   type_oid == OID_NAME;
    if (is_int)
        put_int(out, value);
    else if (type_oid == OID_UUID && value->len == 16)
        put_uuid(out, value);
    else if (is_text)
        buf_fmt(out, "'%.*s'", (int)MIN_OF(value->len, (uint32_t)KEY_TEXT_MAX), value->data);
    else
        put_hex(out, value);
}

static void put_value(struct buf *out, uint32_t type_oid, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        buf_puts(out, "NULL");
        break;
    case VALUE_UNCHANGED:
        buf_puts(out, "(unchanged)");
        break;
    case VALUE_TEXT:
        buf_fmt(out, "'%.*s'", (int)MIN_OF(value->len, (uint32_t)KEY_TEXT_MAX), value->data);
        break;
    case VALUE_BINARY:
        put_binary(out, type_oid, value);
        break;
    }
}

char *change_describe(const struct destination *destination, const struct change *change)
{
    static const char *const verbs[] = {
        [CHANGE_INSERT] = "INSERT into ",
        [CHANGE_UPDATE] = "UPDATE of ",
        [CHANGE_DELETE] = "DELETE from ",
        [CHANGE_TRUNCATE] = "TRUNCATE of ",
    };
    struct buf out = BUF_INIT;
    buf_puts(&out, verbs[change->kind]);
    buf_puts(&out, destination->label);
    if (change->kind == CHANGE_TRUNCATE)
        return buf_take(&out);
    const struct tuple *tuple = change->old_kind == OLD_NONE ? &change->new : &change->old;
    int shown = 0;
    for (size_t i = 0; i < destination->relation->column_count; i++) {
        if (!destination->columns[i].equal || i >= tuple->count || shown >= 8)
            continue;
        buf_fmt(&out, "%s%s = ", shown++ ? ", " : " (", destination->relation->columns[i].name);
        put_value(&out, destination->relation->columns[i].type_oid, &tuple->values[i]);
    }
    if (shown)
        buf_putc(&out, ')');
    return buf_take(&out);
}
