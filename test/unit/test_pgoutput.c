/* Tests of the pgoutput decoder: messages recorded from real servers by scripts/record-pgoutput,
 * the same cut short or damaged, and messages that no server sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "source/pgoutput.h"

struct recorded {
    struct pgoutput_decoder before; /* the decoder's state when the message comes */
    char *data;                     /* owned, of exactly len bytes: an over-read shows */
    size_t len;
    char *expected; /* owned: the fields as text */
    char *place;    /* owned: file and line */
};

static struct recorded *recorded; /* of all files */
static size_t recorded_count;

/* Two digits a byte; spaces are for the reader. */
static char *from_hex(const char *hex, size_t *ret_len)
{
    char *data = mem_alloc(strlen(hex) / 2 + 1);
    size_t len = 0;
    for (const char *at = hex; *at; at += *at == ' ' ? 1 : 2) {
        if (*at == ' ')
            continue;
        unsigned byte = 0;
        assert_int_equal(sscanf(at, "%2x", &byte), 1);
        data[len++] = (char)byte;
    }
    *ret_len = len;
    return mem_resize(data, MAX_OF(len, (size_t)1), 1);
}

/* protocol TAB streaming TAB server TAB hex TAB fields */
static void load_line(char *line, const char *path, int number, bool *in_stream)
{
    const char *protocol = strsep(&line, "\t");
    const char *streaming = strsep(&line, "\t");
    (void)strsep(&line, "\t");
    const char *hex = strsep(&line, "\t");
    assert_non_null(line);
    recorded = mem_resize(recorded, recorded_count + 1, sizeof(*recorded));
    struct recorded *r = &recorded[recorded_count++];
    r->before.protocol = (int)strtol(protocol, NULL, 10);
    r->before.is_parallel = strcmp(streaming, "parallel") == 0;
    r->before.is_in_stream = *in_stream;
    r->data = from_hex(hex, &r->len);
    line[strcspn(line, "\n")] = '\0';
    r->expected = str_dup(line);
    r->place = str_fmt("%s:%d", path, number);
    if (r->data[0] == 'S' || r->data[0] == 'E')
        *in_stream = r->data[0] == 'S';
}

static void load_file(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *line = NULL;
    size_t size = 0;
    bool in_stream = false;
    for (int number = 1; getline(&line, &size, file) > 0; number++)
        load_line(line, path, number, &in_stream);
    free(line);
    (void)fclose(file);
}

static int load_all(void **state)
{
    glob_t found;
    if (glob(FIXTURES "/pgoutput/*.tsv", 0, NULL, &found) != 0)
        return -1;
    for (size_t i = 0; i < found.gl_pathc; i++)
        load_file(found.gl_pathv[i]);
    globfree(&found);
    return 0;
}

static int free_all(void **state)
{
    for (size_t i = 0; i < recorded_count; i++) {
        free(recorded[i].data);
        free(recorded[i].expected);
        free(recorded[i].place);
    }
    free(recorded);
    return 0;
}

static void put_hex(struct buf *out, const char *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        buf_putc(out, digits[(unsigned char)data[i] >> 4]);
        buf_putc(out, digits[data[i] & 15]);
    }
}

static void put_number(struct buf *out, const char *name, int64_t value)
{
    if (value)
        buf_fmt(out, "\t%s=%" PRId64, name, value);
}

static void put_lsn(struct buf *out, const char *name, uint64_t lsn)
{
    if (lsn)
        buf_fmt(out, "\t%s=%X/%X", name, (unsigned)(lsn >> 32), (unsigned)lsn);
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    if (text && *text)
        buf_fmt(out, "\t%s=%s", name, text);
}

static void put_tuple(struct buf *out, const char *name, const struct tuple *tuple)
{
    static const char *const kinds[] = {
        [VALUE_NULL] = "n", [VALUE_UNCHANGED] = "u", [VALUE_TEXT] = "t:", [VALUE_BINARY] = "b:"};
    buf_fmt(out, "\t%s[", name);
    for (int i = 0; i < tuple->count; i++) {
        const struct value *value = &tuple->values[i];
        buf_fmt(out, "%s%s", i ? "," : "", kinds[value->kind]);
        put_hex(out, value->data, value->len);
    }
    buf_putc(out, ']');
}

static void put_relation(struct buf *out, const struct pgoutput_message *m)
{
    buf_fmt(out, "\tidentity=%c\tcolumns=[", m->replica_identity);
    for (int i = 0; i < m->column_count; i++) {
        const struct pgoutput_column *column = &m->columns[i];
        buf_fmt(out, "%s%s:%" PRIu32 ":%" PRId32 ":%d", i ? "," : "", column->name,
                column->type_oid, column->typmod, column->is_key);
    }
    buf_putc(out, ']');
}

static void put_truncate(struct buf *out, const struct pgoutput_message *m)
{
    buf_puts(out, "\ttruncate=");
    for (uint32_t i = 0; i < m->truncate_count; i++)
        buf_fmt(out, "%s%" PRIu32, i ? "," : "", m->truncate_oids[i]);
    put_number(out, "cascade", m->truncate_cascade);
    put_number(out, "restart", m->truncate_restart_identity);
}

/* All fields of a message that are set, in the order of the fixtures. */
static void put_message(struct buf *out, const struct pgoutput_message *m)
{
    buf_fmt(out, "kind=%c", (char)m->kind);
    put_number(out, "xid", m->has_xid ? m->xid : 0);
    put_number(out, "subxid", m->subxid);
    put_lsn(out, "lsn", m->lsn);
    put_lsn(out, "end_lsn", m->end_lsn);
    put_number(out, "time", m->time_us);
    put_number(out, "prepare_time", m->prepare_time_us);
    put_number(out, "first", m->is_first);
    put_number(out, "oid", m->relation_oid);
    put_text(out, "nspname", m->nspname);
    put_text(out, "name", m->relname);
    if (m->kind == PGOUTPUT_RELATION)
        put_relation(out, m);
    if (m->old_kind != PGOUTPUT_OLD_NONE)
        put_tuple(out, m->old_kind == PGOUTPUT_OLD_KEY ? "old=K" : "old=O", &m->old);
    if (m->kind == PGOUTPUT_INSERT || m->kind == PGOUTPUT_UPDATE)
        put_tuple(out, "new=", &m->new);
    if (m->kind == PGOUTPUT_TRUNCATE)
        put_truncate(out, m);
    put_number(out, "transactional", m->is_transactional);
    if (m->content_len) {
        buf_puts(out, "\tcontent=");
        put_hex(out, m->content, m->content_len);
    }
}

static void recorded_messages_decode_to_their_fields(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_release) struct buf text = BUF_INIT;
    for (size_t i = 0; i < recorded_count; i++) {
        const struct recorded *r = &recorded[i];
        struct pgoutput_decoder decoder = r->before;
        struct pgoutput_message message;
        struct err err = {0};
        if (!pgoutput_decode(&decoder, r->data, r->len, arena, &message, &err))
            fail_msg("%s: %s", r->place, err.text);
        buf_reset(&text);
        put_message(&text, &message);
        if (strcmp(buf_text(&text), r->expected) != 0)
            fail_msg("%s:\n%s\nis decoded as\n%s", r->place, r->expected, buf_text(&text));
        assert_int_equal(decoder.is_in_stream,
                         message.kind == PGOUTPUT_STREAM_START ||
                             (r->before.is_in_stream && message.kind != PGOUTPUT_STREAM_STOP));
        arena_reset(arena);
    }
}

static void every_kind_was_recorded(void **state)
{
    static const struct {
        int protocol;
        bool is_parallel;
        const char *kinds;
    } wanted[] = {
        {1, false, "BCORYIUDTM"},          {2, false, "BCORYIUDTMSEcA"},
        {3, false, "BCORYIUDTMSEcAbPKrp"}, {4, false, "BCORYIUDTMSEcAbPKrp"},
        {4, true, "BCORYIUDTMSEcAbPKrp"},
    };
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        for (const char *kind = wanted[i].kinds; *kind; kind++) {
            bool is_found = false;
            for (size_t k = 0; k < recorded_count && !is_found; k++)
                is_found = recorded[k].before.protocol == wanted[i].protocol &&
                           recorded[k].before.is_parallel == wanted[i].is_parallel &&
                           recorded[k].data[0] == *kind;
            if (!is_found)
                fail_msg("no message %c of protocol %d", *kind, wanted[i].protocol);
        }
    }
}

/* Decodes from a block of exactly len bytes. */
static bool decode_copy(const struct pgoutput_decoder *before, const char *data, size_t len,
                        struct arena *arena, struct err *err)
{
    struct pgoutput_decoder decoder = *before;
    struct pgoutput_message message;
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(str_free) char *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    arena_reset(arena);
    if (!pgoutput_decode(&decoder, copy, len, arena, &message, err)) {
        assert_int_equal(err->kind, ERR_FATAL);
        assert_int_equal(decoder.is_in_stream, before->is_in_stream);
        return false;
    }
    put_message(&text, &message); /* touches all that it points to */
    return true;
}

static void every_proper_prefix_fails(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    for (size_t i = 0; i < recorded_count; i++) {
        const struct recorded *r = &recorded[i];
        for (size_t len = 0; len < r->len; len++) {
            struct err err = {0};
            if (decode_copy(&r->before, r->data, len, arena, &err))
                fail_msg("%s: the first %zu bytes were taken", r->place, len);
            assert_non_null(strstr(err.text, "malformed pgoutput message"));
        }
    }
}

static void a_byte_too_many_fails(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_release) struct buf longer = BUF_INIT;
    for (size_t i = 0; i < recorded_count; i++) {
        const struct recorded *r = &recorded[i];
        struct err err = {0};
        buf_reset(&longer);
        buf_add(&longer, r->data, r->len);
        buf_putc(&longer, '\0');
        if (decode_copy(&r->before, longer.data, longer.len, arena, &err))
            fail_msg("%s: taken with a byte too many", r->place);
        assert_non_null(strstr(err.text, "trailing bytes: 1"));
    }
}

/* xorshift: the same numbers in every run. */
static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void damaged_messages_never_crash(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    uint32_t seed = 20240229;
    size_t failed = 0;
    for (int i = 0; i < 100000; i++) {
        const struct recorded *r = &recorded[next_random(&seed) % recorded_count];
        AUTO(str_free) char *damaged = str_dup_n(r->data, r->len);
        damaged[next_random(&seed) % r->len] ^= (char)(1 + next_random(&seed) % 255);
        struct err err = {0};
        if (!decode_copy(&r->before, damaged, r->len, arena, &err))
            failed++;
    }
    assert_in_range(failed, 20000, 99999);
}

static const struct {
    int protocol;
    bool is_in_stream;
    const char *hex;
    const char *text; /* part of the error */
} absurd[] = {
    {1, false, "", "it is empty"},
    {1, false, "00", "unknown kind 0x00"},
    {1, false, "5a", "unknown kind 0x5a"},
    {1, false, "ff", "unknown kind 0xff"},
    {1, false, "42", "Begin: LSN at byte 1 takes 8 bytes, 0 are left"},
    {1, false, "43 01", "Commit: flags at byte 1 are 0x01"},
    {1, false, "4f 0000000000000001 6e616d65", "Origin: name at byte 9 has no end"},
    {1, false, "52 00000001 6e", "Relation: schema name at byte 5 has no end"},
    {1, false, "52 00000001 00 00 78 0000", "Relation: unknown replica identity 0x78"},
    {1, false, "52 00000001 00 00 00 0000", "Relation: unknown replica identity 0x00"},
    {1, false, "52 00000001 00 00 64 ffff 00000000", "Relation: 65535 columns"},
    {1, false, "52 00000001 00 00 64 0001 02 6100 00000017 ffffffff",
     "Relation: column flags at byte 10 are 0x02"},
    {1, false, "49 00000001 4e ffff 6e6e6e6e", "Insert: 65535 values"},
    {1, false, "49 00000001 4e 0001 74 ffffffff 61", "value at byte 13 takes 4294967295"},
    {1, false, "49 00000001 4e 0001 74 7fffffff 61", "value at byte 13 takes 2147483647"},
    {1, false, "49 00000001 4e 0001 62 00000002 61", "takes 2 bytes, 1 are left"},
    {1, false, "49 00000001 4e 0001 78", "Insert: unknown value kind 0x78 at byte 8"},
    {1, false, "49 00000001 4b 0000", "Insert: unexpected row letter 0x4b at byte 5"},
    {1, false, "55 00000001 58 0000", "Update: unexpected row letter 0x58 at byte 5"},
    {1, false, "55 00000001 4b 0000 4b 0000", "Update: unexpected row letter 0x4b"},
    {1, false, "55 00000001 4f 0002 6e 75 4e 0000", "Update: value 2 of the old row"},
    {1, false, "44 00000001 4e 0000", "Delete: unexpected row letter 0x4e at byte 5"},
    {1, false, "44 00000001 4b 0001 75", "Delete: value 1 of the old row"},
    {1, false, "54 80000000 00 00000001", "Truncate: 2147483648 relations"},
    {1, false, "54 ffffffff 00 00000001", "Truncate: 4294967295 relations"},
    {1, false, "54 00000001 04 00000001", "Truncate: flags at byte 5 are 0x04"},
    {1, false, "54 00000002 00 00000001 000000", "Truncate: 2 relations"},
    {1, false, "4d 02 0000000000000001 00 00000000", "Message: flags at byte 1 are 0x02"},
    {1, false, "4d 00 0000000000000001 00 ffffffff 61", "content at byte 15 takes 4294967295"},
    {1, false, "53 00000001 01", "Stream Start: not part of protocol 1"},
    {1, false, "70", "Stream Prepare: not part of protocol 1"},
    {1, false, "41", "Stream Abort: not part of protocol 1"},
    {2, false, "53 00000001 02", "Stream Start: first segment flags at byte 5 are 0x02"},
    {2, true, "53 00000001 01", "Stream Start: cannot stand inside a stream block"},
    {2, false, "45", "Stream Stop: cannot stand outside a stream block"},
    {2, true, "42 0000000000000001 0000000000000001 00000001",
     "Begin: cannot stand inside a stream block"},
    {2, true, "41 00000001 00000001", "Stream Abort: cannot stand inside"},
    {2, false, "63 00000001 01", "Stream Commit: flags at byte 5 are 0x01"},
    {3, false, "50 01", "Prepare: flags at byte 1 are 0x01"},
    {3, false, "4b 80", "Commit Prepared: flags at byte 1 are 0x80"},
    {3, false, "72 01", "Rollback Prepared: flags at byte 1 are 0x01"},
    {3, false, "70 01", "Stream Prepare: flags at byte 1 are 0x01"},
    {4, false, "41 00000001 00000001 0000000000000001 0000000000000001",
     "Stream Abort: trailing bytes: 16"},
};

static void absurd_messages_are_named(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(absurd); i++) {
        struct pgoutput_decoder before = {.protocol = absurd[i].protocol,
                                          .is_in_stream = absurd[i].is_in_stream};
        size_t len = 0;
        AUTO(str_free) char *data = from_hex(absurd[i].hex, &len);
        struct err err = {0};
        if (decode_copy(&before, data, len, arena, &err))
            fail_msg("%s was taken", absurd[i].hex);
        if (!strstr(err.text, absurd[i].text))
            fail_msg("%s: the error is \"%s\", not \"%s\"", absurd[i].hex, err.text,
                     absurd[i].text);
        assert_true(arena_used(arena) < 64); /* nothing is allocated for a count that cannot be */
    }
}

static void parallel_aborts_need_their_position(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct pgoutput_decoder before = {.protocol = 4, .is_parallel = true};
    size_t len = 0;
    AUTO(str_free) char *data = from_hex("410000000100000001", &len);
    struct err err = {0};
    assert_false(decode_copy(&before, data, len, arena, &err));
    assert_non_null(strstr(err.text, "Stream Abort: LSN at byte 9 takes 8 bytes, 0 are left"));
}

static void values_borrow_and_names_are_copied(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct pgoutput_decoder decoder = {.protocol = 1};
    struct pgoutput_message message;
    struct err err = {0};
    size_t len = 0;
    AUTO(str_free) char *insert = from_hex("49000000014e0002740000000261626200000000", &len);
    assert_true(pgoutput_decode(&decoder, insert, len, arena, &message, &err));
    assert_ptr_equal(message.new.values[0].data, insert + 13);
    assert_int_equal(message.new.values[0].len, 2);
    assert_int_equal(message.new.values[1].kind, VALUE_BINARY); /* empty is not NULL */
    assert_int_equal(message.new.values[1].len, 0);
    AUTO(str_free) char *type = from_hex("5900000001007400", &len);
    assert_true(pgoutput_decode(&decoder, type, len, arena, &message, &err));
    memset(type, 'x', len);
    assert_string_equal(message.nspname, "");
    assert_string_equal(message.relname, "t");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_messages_decode_to_their_fields),
        cmocka_unit_test(every_kind_was_recorded),
        cmocka_unit_test(every_proper_prefix_fails),
        cmocka_unit_test(a_byte_too_many_fails),
        cmocka_unit_test(damaged_messages_never_crash),
        cmocka_unit_test(absurd_messages_are_named),
        cmocka_unit_test(parallel_aborts_need_their_position),
        cmocka_unit_test(values_borrow_and_names_are_copied),
    };
    return cmocka_run_group_tests_name("pgoutput", tests, load_all, free_all);
}
