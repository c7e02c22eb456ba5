/* Decoder of pgoutput messages. See pgoutput.h.
 *
 * Place in the flow: the stream reader hands in one message as it came from the socket and gets
 * one struct back. The table `layouts` lists the fields of every message kind in wire order; what
 * repeats (columns, rows, relations) is read by the layout's rest function. Every read goes
 * through need(), the only place that compares lengths. Runs in the stream reader's thread. */
#include "source/pgoutput.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

enum {
    MAX_FIELDS = 8,
    MIN_COLUMN_BYTES = 10, /* flags, a name's NUL, type, modifier */
    MIN_VALUE_BYTES = 1,   /* its kind */
    FLAG_KEY_COLUMN = 1,
    FLAG_CASCADE = 1,
    FLAG_RESTART_IDENTITY = 2,
};

/* A cursor over one message. */
struct reader {
    const char *data; /* borrowed: the message */
    size_t len;
    size_t at;
    const char *name; /* of the message kind, for errors */
    bool has_abort_position;
    struct arena *arena;
    struct err *err;
};

enum field {
    FIELD_END,
    FIELD_XID,
    FIELD_SUBXID,
    FIELD_FLAGS, /* always 0 */
    FIELD_LSN,
    FIELD_END_LSN,
    FIELD_TIME,
    FIELD_PREPARE_TIME,
    FIELD_OID,
    FIELD_NSPNAME,
    FIELD_NAME, /* relation, type, origin, prefix, gid */
    FIELD_IDENTITY,
    FIELD_FIRST,
    FIELD_TRANSACTIONAL,
};

struct layout {
    const char *name;
    int protocol;      /* the first that has this kind */
    bool is_change;    /* inside a stream block, and there its transaction's id comes first */
    bool is_in_stream; /* may stand in a stream block */
    bool is_outside;   /* may stand outside of one */
    enum field fields[MAX_FIELDS];
    bool (*rest)(struct reader *r, struct pgoutput_message *message);
};

#define MALFORMED "malformed pgoutput message %s: "

static bool need(const struct reader *r, size_t bytes, const char *what)
{
    size_t left = r->len - r->at;
    if (bytes <= left)
        return true;
    return err_set(r->err, ERR_FATAL, MALFORMED "%s at byte %zu takes %zu bytes, %zu are left",
                   r->name, what, r->at, bytes, left);
}

/* A count from the wire, before anything is allocated for it. */
static bool need_items(const struct reader *r, size_t count, size_t item_bytes, const char *what)
{
    size_t left = r->len - r->at;
    if (count <= left / item_bytes)
        return true;
    return err_set(r->err, ERR_FATAL, MALFORMED "%zu %s announced at byte %zu, %zu bytes are left",
                   r->name, count, what, r->at, left);
}

static bool read_u8(struct reader *r, const char *what, uint8_t *ret_value)
{
    if (!need(r, sizeof(*ret_value), what))
        return false;
    *ret_value = (uint8_t)r->data[r->at];
    r->at += sizeof(*ret_value);
    return true;
}

static bool read_u16(struct reader *r, const char *what, uint16_t *ret_value)
{
    uint16_t wire;
    if (!need(r, sizeof(wire), what))
        return false;
    memcpy(&wire, r->data + r->at, sizeof(wire));
    r->at += sizeof(wire);
    *ret_value = be16toh(wire);
    return true;
}

static bool read_u32(struct reader *r, const char *what, uint32_t *ret_value)
{
    uint32_t wire;
    if (!need(r, sizeof(wire), what))
        return false;
    memcpy(&wire, r->data + r->at, sizeof(wire));
    r->at += sizeof(wire);
    *ret_value = be32toh(wire);
    return true;
}

static bool read_u64(struct reader *r, const char *what, uint64_t *ret_value)
{
    uint64_t wire;
    if (!need(r, sizeof(wire), what))
        return false;
    memcpy(&wire, r->data + r->at, sizeof(wire));
    r->at += sizeof(wire);
    *ret_value = be64toh(wire);
    return true;
}

static bool read_time(struct reader *r, const char *what, int64_t *ret_time_us)
{
    uint64_t value;
    if (!read_u64(r, what, &value))
        return false;
    *ret_time_us = (int64_t)value;
    return true;
}

/* A string that ends in NUL, copied: the message's bytes may go before the relation does. */
static bool read_string(struct reader *r, const char *what, const char **ret_text)
{
    const char *start = r->data + r->at;
    const char *nul = memchr(start, '\0', r->len - r->at);
    if (!nul)
        return err_set(r->err, ERR_FATAL, MALFORMED "%s at byte %zu has no end", r->name, what,
                       r->at);
    *ret_text = arena_copy(r->arena, start, (size_t)(nul - start));
    r->at += (size_t)(nul - start) + 1;
    return true;
}

/* A byte of flags of which only those in `known` have a meaning. */
static bool read_flags(struct reader *r, const char *what, uint8_t known, uint8_t *ret_flags)
{
    if (!read_u8(r, what, ret_flags))
        return false;
    if ((*ret_flags & ~known) == 0)
        return true;
    return err_set(r->err, ERR_FATAL, MALFORMED "%s at byte %zu are 0x%02x, known are 0x%02x",
                   r->name, what, r->at - 1, *ret_flags, known);
}

static bool read_bool(struct reader *r, const char *what, bool *ret_value)
{
    uint8_t flags;
    if (!read_flags(r, what, 1, &flags))
        return false;
    *ret_value = flags != 0;
    return true;
}

static bool read_xid(struct reader *r, struct pgoutput_message *message)
{
    message->has_xid = true;
    return read_u32(r, "transaction id", &message->xid);
}

static bool read_identity(struct reader *r, struct pgoutput_message *message)
{
    uint8_t letter;
    if (!read_u8(r, "replica identity", &letter))
        return false;
    if (!letter || !strchr("dnfi", letter))
        return err_set(r->err, ERR_FATAL, MALFORMED "unknown replica identity 0x%02x", r->name,
                       letter);
    message->replica_identity = (char)letter;
    return true;
}

static bool read_field(struct reader *r, enum field field, struct pgoutput_message *message)
{
    uint8_t flags;
    switch (field) {
    case FIELD_END:
        return true;
    case FIELD_XID:
        return read_xid(r, message);
    case FIELD_SUBXID:
        return read_u32(r, "subtransaction id", &message->subxid);
    case FIELD_FLAGS:
        return read_flags(r, "flags", 0, &flags);
    case FIELD_LSN:
        return read_u64(r, "LSN", &message->lsn);
    case FIELD_END_LSN:
        return read_u64(r, "end LSN", &message->end_lsn);
    case FIELD_TIME:
        return read_time(r, "time", &message->time_us);
    case FIELD_PREPARE_TIME:
        return read_time(r, "time of prepare", &message->prepare_time_us);
    case FIELD_OID:
        return read_u32(r, "OID", &message->relation_oid);
    case FIELD_NSPNAME:
        return read_string(r, "schema name", &message->nspname);
    case FIELD_NAME:
        return read_string(r, "name", &message->relname);
    case FIELD_IDENTITY:
        return read_identity(r, message);
    case FIELD_FIRST:
        return read_bool(r, "first segment flags", &message->is_first);
    case FIELD_TRANSACTIONAL:
        return read_bool(r, "flags", &message->is_transactional);
    }
    assert(false);
    return false;
}

static bool read_column(struct reader *r, struct pgoutput_column *column)
{
    uint8_t flags;
    uint32_t typmod;
    if (!read_flags(r, "column flags", FLAG_KEY_COLUMN, &flags) ||
        !read_string(r, "column name", &column->name) ||
        !read_u32(r, "column type", &column->type_oid) ||
        !read_u32(r, "column type modifier", &typmod))
        return false;
    column->is_key = (flags & FLAG_KEY_COLUMN) != 0;
    column->typmod = (int32_t)typmod;
    return true;
}

static bool read_columns(struct reader *r, struct pgoutput_message *message)
{
    uint16_t count;
    if (!read_u16(r, "column count", &count) || !need_items(r, count, MIN_COLUMN_BYTES, "columns"))
        return false;
    message->columns = arena_alloc(r->arena, count * sizeof(*message->columns));
    message->column_count = count;
    for (uint16_t i = 0; i < count; i++) {
        if (!read_column(r, &message->columns[i]))
            return false;
    }
    return true;
}

static bool read_value_bytes(struct reader *r, enum value_kind kind, struct value *value)
{
    if (!read_u32(r, "value length", &value->len) || !need(r, value->len, "value"))
        return false;
    value->kind = kind;
    value->data = r->data + r->at;
    r->at += value->len;
    return true;
}

static bool read_value(struct reader *r, struct value *value)
{
    uint8_t kind;
    if (!read_u8(r, "value kind", &kind))
        return false;
    switch (kind) {
    case 'n':
        value->kind = VALUE_NULL;
        return true;
    case 'u':
        value->kind = VALUE_UNCHANGED;
        return true;
    case 't':
        return read_value_bytes(r, VALUE_TEXT, value);
    case 'b':
        return read_value_bytes(r, VALUE_BINARY, value);
    default:
        return err_set(r->err, ERR_FATAL, MALFORMED "unknown value kind 0x%02x at byte %zu",
                       r->name, kind, r->at - 1);
    }
}

static bool read_tuple(struct reader *r, struct tuple *tuple)
{
    uint16_t count;
    if (!read_u16(r, "value count", &count) || !need_items(r, count, MIN_VALUE_BYTES, "values"))
        return false;
    tuple->values = arena_alloc(r->arena, count * sizeof(*tuple->values));
    tuple->count = count;
    for (uint16_t i = 0; i < count; i++) {
        if (!read_value(r, &tuple->values[i]))
            return false;
    }
    return true;
}

static bool unknown_row(const struct reader *r, uint8_t letter)
{
    return err_set(r->err, ERR_FATAL, MALFORMED "unexpected row letter 0x%02x at byte %zu", r->name,
                   letter, r->at - 1);
}

/* The old row; the server stores it with its TOASTed values, so none can be missing. */
static bool read_old(struct reader *r, uint8_t letter, struct pgoutput_message *message)
{
    message->old_kind = letter == 'K' ? PGOUTPUT_OLD_KEY : PGOUTPUT_OLD_FULL;
    if (!read_tuple(r, &message->old))
        return false;
    for (uint16_t i = 0; i < message->old.count; i++) {
        if (message->old.values[i].kind == VALUE_UNCHANGED)
            return err_set(r->err, ERR_FATAL, MALFORMED "value %d of the old row is left out",
                           r->name, i + 1);
    }
    return true;
}

static bool read_insert(struct reader *r, struct pgoutput_message *message)
{
    uint8_t letter;
    if (!read_u8(r, "row letter", &letter))
        return false;
    return letter == 'N' ? read_tuple(r, &message->new) : unknown_row(r, letter);
}

static bool read_update(struct reader *r, struct pgoutput_message *message)
{
    uint8_t letter;
    if (!read_u8(r, "row letter", &letter))
        return false;
    if (letter == 'K' || letter == 'O') {
        if (!read_old(r, letter, message) || !read_u8(r, "row letter", &letter))
            return false;
    }
    return letter == 'N' ? read_tuple(r, &message->new) : unknown_row(r, letter);
}

static bool read_delete(struct reader *r, struct pgoutput_message *message)
{
    uint8_t letter;
    if (!read_u8(r, "row letter", &letter))
        return false;
    if (letter != 'K' && letter != 'O')
        return unknown_row(r, letter);
    return read_old(r, letter, message);
}

static bool read_truncate(struct reader *r, struct pgoutput_message *message)
{
    uint32_t count;
    uint8_t flags;
    if (!read_u32(r, "relation count", &count) ||
        !read_flags(r, "flags", FLAG_CASCADE | FLAG_RESTART_IDENTITY, &flags) ||
        !need_items(r, count, sizeof(uint32_t), "relations"))
        return false;
    message->truncate_cascade = (flags & FLAG_CASCADE) != 0;
    message->truncate_restart_identity = (flags & FLAG_RESTART_IDENTITY) != 0;
    message->truncate_oids = arena_alloc(r->arena, count * sizeof(*message->truncate_oids));
    message->truncate_count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_u32(r, "OID", &message->truncate_oids[i]))
            return false;
    }
    return true;
}

static bool read_content(struct reader *r, struct pgoutput_message *message)
{
    if (!read_u32(r, "content length", &message->content_len) ||
        !need(r, message->content_len, "content"))
        return false;
    message->content = r->data + r->at;
    r->at += message->content_len;
    return true;
}

static bool read_abort_position(struct reader *r, struct pgoutput_message *message)
{
    if (!r->has_abort_position)
        return true;
    return read_u64(r, "LSN", &message->lsn) && read_time(r, "time", &message->time_us);
}

/* A slot made for two-phase commit sends the prepared kinds in every protocol. */
#define TRANSACTION .is_outside = true
#define CHANGE      .protocol = 1, .is_change = true, .is_in_stream = true, .is_outside = true
#define FIELDS(...) .fields = {__VA_ARGS__}

static const struct layout layouts[] = {
    [PGOUTPUT_BEGIN] = {"Begin", 1, TRANSACTION, FIELDS(FIELD_LSN, FIELD_TIME, FIELD_XID)},
    [PGOUTPUT_COMMIT] = {"Commit", 1, TRANSACTION,
                         FIELDS(FIELD_FLAGS, FIELD_LSN, FIELD_END_LSN, FIELD_TIME)},
    [PGOUTPUT_ORIGIN] = {"Origin", 1, .is_in_stream = true, .is_outside = true,
                         FIELDS(FIELD_LSN, FIELD_NAME)},
    [PGOUTPUT_RELATION] = {"Relation", CHANGE,
                           FIELDS(FIELD_OID, FIELD_NSPNAME, FIELD_NAME, FIELD_IDENTITY),
                           .rest = read_columns},
    [PGOUTPUT_TYPE] = {"Type", CHANGE, FIELDS(FIELD_OID, FIELD_NSPNAME, FIELD_NAME)},
    [PGOUTPUT_INSERT] = {"Insert", CHANGE, FIELDS(FIELD_OID), .rest = read_insert},
    [PGOUTPUT_UPDATE] = {"Update", CHANGE, FIELDS(FIELD_OID), .rest = read_update},
    [PGOUTPUT_DELETE] = {"Delete", CHANGE, FIELDS(FIELD_OID), .rest = read_delete},
    [PGOUTPUT_TRUNCATE] = {"Truncate", CHANGE, .rest = read_truncate},
    [PGOUTPUT_MESSAGE] = {"Message", CHANGE, FIELDS(FIELD_TRANSACTIONAL, FIELD_LSN, FIELD_NAME),
                          .rest = read_content},
    [PGOUTPUT_STREAM_START] = {"Stream Start", 2, TRANSACTION, FIELDS(FIELD_XID, FIELD_FIRST)},
    [PGOUTPUT_STREAM_STOP] = {"Stream Stop", 2, .is_in_stream = true},
    [PGOUTPUT_STREAM_COMMIT] = {"Stream Commit", 2, TRANSACTION,
                                FIELDS(FIELD_XID, FIELD_FLAGS, FIELD_LSN, FIELD_END_LSN,
                                       FIELD_TIME)},
    [PGOUTPUT_STREAM_ABORT] = {"Stream Abort", 2, TRANSACTION, FIELDS(FIELD_XID, FIELD_SUBXID),
                               .rest = read_abort_position},
    [PGOUTPUT_BEGIN_PREPARE] = {"Begin Prepare", 1, TRANSACTION,
                                FIELDS(FIELD_LSN, FIELD_END_LSN, FIELD_TIME, FIELD_XID,
                                       FIELD_NAME)},
    [PGOUTPUT_PREPARE] = {"Prepare", 1, TRANSACTION,
                          FIELDS(FIELD_FLAGS, FIELD_LSN, FIELD_END_LSN, FIELD_TIME, FIELD_XID,
                                 FIELD_NAME)},
    [PGOUTPUT_COMMIT_PREPARED] = {"Commit Prepared", 1, TRANSACTION,
                                  FIELDS(FIELD_FLAGS, FIELD_LSN, FIELD_END_LSN, FIELD_TIME,
                                         FIELD_XID, FIELD_NAME)},
    [PGOUTPUT_ROLLBACK_PREPARED] = {"Rollback Prepared", 1, TRANSACTION,
                                    FIELDS(FIELD_FLAGS, FIELD_LSN, FIELD_END_LSN,
                                           FIELD_PREPARE_TIME, FIELD_TIME, FIELD_XID, FIELD_NAME)},
    [PGOUTPUT_STREAM_PREPARE] = {"Stream Prepare", 2, TRANSACTION,
                                 FIELDS(FIELD_FLAGS, FIELD_LSN, FIELD_END_LSN, FIELD_TIME,
                                        FIELD_XID, FIELD_NAME)},
};

/* The layout of the message's kind, or NULL when it may not stand here. */
static const struct layout *find_layout(const struct pgoutput_decoder *decoder, uint8_t kind,
                                        struct err *err)
{
    const struct layout *layout = kind < COUNT_OF(layouts) ? &layouts[kind] : NULL;
    if (!layout || !layout->name) {
        (void)err_set(err, ERR_FATAL, "malformed pgoutput message: unknown kind 0x%02x", kind);
        return NULL;
    }
    if (decoder->protocol < layout->protocol) {
        (void)err_set(err, ERR_FATAL, MALFORMED "not part of protocol %d", layout->name,
                      decoder->protocol);
        return NULL;
    }
    if (decoder->is_in_stream ? !layout->is_in_stream : !layout->is_outside) {
        (void)err_set(err, ERR_FATAL, MALFORMED "cannot stand %s a stream block", layout->name,
                      decoder->is_in_stream ? "inside" : "outside");
        return NULL;
    }
    return layout;
}

static bool read_message(struct reader *r, const struct layout *layout, bool has_xid_first,
                         struct pgoutput_message *message)
{
    if (has_xid_first && !read_xid(r, message))
        return false;
    for (size_t i = 0; i < MAX_FIELDS && layout->fields[i] != FIELD_END; i++) {
        if (!read_field(r, layout->fields[i], message))
            return false;
    }
    if (layout->rest && !layout->rest(r, message))
        return false;
    if (r->at < r->len)
        return err_set(r->err, ERR_FATAL, MALFORMED "trailing bytes: %zu", r->name, r->len - r->at);
    return true;
}

bool pgoutput_decode(struct pgoutput_decoder *decoder, const char *data, size_t len,
                     struct arena *arena, struct pgoutput_message *ret_message, struct err *err)
{
    if (len == 0)
        return err_set(err, ERR_FATAL, "malformed pgoutput message: it is empty");
    const struct layout *layout = find_layout(decoder, (uint8_t)data[0], err);
    if (!layout)
        return false;
    struct reader r = {.data = data,
                       .len = len,
                       .at = 1,
                       .name = layout->name,
                       .has_abort_position = decoder->is_parallel,
                       .arena = arena,
                       .err = err};
    *ret_message = (struct pgoutput_message){.kind = (enum pgoutput_kind)data[0]};
    if (!read_message(&r, layout, decoder->is_in_stream && layout->is_change, ret_message))
        return false;
    if (ret_message->kind == PGOUTPUT_STREAM_START)
        decoder->is_in_stream = true;
    else if (ret_message->kind == PGOUTPUT_STREAM_STOP)
        decoder->is_in_stream = false;
    return true;
}
