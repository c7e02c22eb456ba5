/* Tests of src/pg's parts that need no server: quoting, LSNs, snapshots, connection strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "pg/hosts.h"
#include "pg/lsn.h"
#include "pg/quote.h"
#include "pg/snapshot.h"
#include "pg/url.h"

static void identifiers_are_always_quoted(void **state)
{
    static const char *const cases[][2] = {
        {"name", "\"name\""},     {"", "\"\""},         {"select", "\"select\""},
        {"a\"b", "\"a\"\"b\""},   {"\"", "\"\"\"\""},   {"Größe x", "\"Größe x\""},
        {"a;drop", "\"a;drop\""}, {"b\\s", "\"b\\s\""}, {"it's", "\"it's\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(buf_release) struct buf sql = BUF_INIT;
        quote_ident(&sql, cases[i][0]);
        assert_string_equal(buf_text(&sql), cases[i][1]);
    }
}

static void literals_cannot_be_left(void **state)
{
    static const char *const cases[][2] = {
        {"text", "'text'"}, {"", "''"},           {"it's", "'it''s'"},
        {"'", "''''"},      {"\\", " E'\\\\'"},   {"\\'; DROP", " E'\\\\''; DROP'"},
        {"a\nb", "'a\nb'"}, {"\"q\"", "'\"q\"'"}, {NULL, "NULL"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(buf_release) struct buf sql = BUF_INIT;
        quote_literal(&sql, cases[i][0]);
        assert_string_equal(buf_text(&sql), cases[i][1]);
    }
}

static void formats_of_sql_quote_their_arguments(void **state)
{
    AUTO(str_free)
    char *sql = quote_sql("%I = %L AND %s < %d OR %u > %l %%", "a\"b", "it's", "x", -1, 4294967295U,
                          INT64_MIN);
    assert_string_equal(sql,
                        "\"a\"\"b\" = 'it''s' AND x < -1 OR 4294967295 > -9223372036854775808 %");
    AUTO(buf_release) struct buf more = BUF_INIT;
    quote_add(&more, "SELECT * FROM ");
    quote_qualified(&more, "s.1", "t\"");
    quote_add(&more, " WHERE c = %L", NULL);
    assert_string_equal(buf_text(&more), "SELECT * FROM \"s.1\".\"t\"\"\" WHERE c = NULL");
}

static void lsns_read_what_they_print(void **state)
{
    static const struct {
        uint64_t lsn;
        const char *text;
    } cases[] = {
        {0, "0/0"},
        {1, "0/1"},
        {0xFFFFFFFF, "0/FFFFFFFF"},
        {0x100000000, "1/0"},
        {0x16B374D848, "16/B374D848"},
        {UINT64_MAX, "FFFFFFFF/FFFFFFFF"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[LSN_TEXT];
        uint64_t lsn = 42;
        assert_string_equal(lsn_format(cases[i].lsn, text), cases[i].text);
        assert_true(lsn_parse(cases[i].text, &lsn));
        assert_true(lsn == cases[i].lsn);
    }
}

static void lsns_take_small_letters_and_zeros(void **state)
{
    uint64_t lsn = 0;
    assert_true(lsn_parse("0000000a/0000000b", &lsn));
    assert_true(lsn == 0xA0000000B);
}

static void what_is_no_lsn_is_refused(void **state)
{
    static const char *const cases[] = {
        "",    "/",   "0",           "0/",          "/0",   "0/0 ",  " 0/0", "0/0/0", "0-0",
        "g/0", "0/g", "123456789/0", "0/123456789", "-1/0", "0x1/0", "+1/0", "0/\n",  "now",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t lsn = 42;
        if (lsn_parse(cases[i], &lsn))
            fail_msg("\"%s\" was taken for an LSN", cases[i]);
        assert_int_equal(lsn, 42);
    }
}

static void snapshots_are_read(void **state)
{
    AUTO(snapshot_release) struct snapshot s = SNAPSHOT_INIT;
    struct err err = {0};
    assert_true(snapshot_parse("4294967300:4294967310:4294967300,4294967305", &s, &err));
    assert_true(s.xmin == 4294967300);
    assert_true(s.xmax == 4294967310);
    assert_int_equal(s.xip_count, 2);
    assert_true(s.xip[0] == 4294967300 && s.xip[1] == 4294967305);
}

static void what_is_no_snapshot_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "10",
        "10:20",
        ":20:",
        "10::",
        "10:20:20",
        "10:20:9",
        "10:20:,",
        "10:20:1x",
        "a:b:",
        "-10:20:",
        "10:20:-15",
        "10:20:11,,12",
        "10:20: 11",
        "10 :20:",
        "99999999999999999999:99999999999999999999:",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(snapshot_release) struct snapshot s = SNAPSHOT_INIT;
        struct err err = {0};
        if (snapshot_parse(cases[i], &s, &err))
            fail_msg("\"%s\" was taken for a snapshot", cases[i]);
        assert_int_equal(err.kind, ERR_FATAL);
        assert_null(s.xip);
    }
}

/* 4294967296 is 2^32: from there on the stream's 32-bit ids begin again. */
static void snapshots_see_what_had_ended(void **state)
{
    static const struct {
        const char *snapshot;
        uint32_t xid;
        bool is_seen;
    } cases[] = {
        {"100:90:", 95, true}, /* exported by a slot: xmin decides first */
        {"100:90:", 100, false},
        {"100:100:", 99, true},
        {"100:100:", 100, false},
        {"100:100:", 101, false},
        {"100:110:100,105", 99, true},
        {"100:110:100,105", 100, false},
        {"100:110:100,105", 101, true},
        {"100:110:100,105", 105, false},
        {"100:110:100,105", 109, true},
        {"100:110:100,105", 110, false},
        {"100:110:100,105", 2000000000, false},
        /* the whole snapshot in a later round */
        {"4294967396:4294967406:4294967396,4294967401", 99, true},
        {"4294967396:4294967406:4294967396,4294967401", 100, false},
        {"4294967396:4294967406:4294967396,4294967401", 101, true},
        {"4294967396:4294967406:4294967396,4294967401", 105, false},
        {"4294967396:4294967406:4294967396,4294967401", 110, false},
        {"4294967396:4294967406:4294967396,4294967401", 4294967290U, true},
        /* bounds on both sides of the turn */
        {"4294967290:4294967306:4294967290,4294967300", 4294967289U, true},
        {"4294967290:4294967306:4294967290,4294967300", 4294967290U, false},
        {"4294967290:4294967306:4294967290,4294967300", 4294967295U, true},
        {"4294967290:4294967306:4294967290,4294967300", 3, true},
        {"4294967290:4294967306:4294967290,4294967300", 4, false},
        {"4294967290:4294967306:4294967290,4294967300", 9, true},
        {"4294967290:4294967306:4294967290,4294967300", 10, false},
        /* just before the turn: the next ids are small numbers */
        {"4294967290:4294967295:", 3, false},
        {"4294967290:4294967295:", 1000000, false},
        {"4294967290:4294967295:", 4294967289U, true},
        /* half a round apart */
        {"8589934692:8589934692:", 2147483747U, false},
        {"8589934692:8589934692:", 2147483749U, true},
        /* one long transaction holds xmin back across the turn */
        {"4294967000:4294968000:4294967000", 4294967000U, false},
        {"4294967000:4294968000:4294967000", 4294966999U, true},
        {"4294967000:4294968000:4294967000", 500, true},
        {"4294967000:4294968000:4294967000", 704, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(snapshot_release) struct snapshot s = SNAPSHOT_INIT;
        struct err err = {0};
        assert_true(snapshot_parse(cases[i].snapshot, &s, &err));
        if (snapshot_sees(&s, cases[i].xid) != cases[i].is_seen)
            fail_msg("%s, %u: seen should be %d", cases[i].snapshot, cases[i].xid,
                     cases[i].is_seen);
    }
}

static void a_snapshot_covers_what_it_sees_whole(void **state)
{
    static const struct {
        const char *newer;
        const char *older;
        bool is_covered;
    } cases[] = {
        {"100:100:", "100:100:", true},
        {"120:120:", "100:110:105", true},
        {"110:120:110", "100:110:105", true},
        {"105:120:105", "100:110:105", true},  /* what both wait for */
        {"104:120:104", "100:110:105", false}, /* seen by the old one, running in the new one */
        {"104:120:104,105", "100:110:105", false},
        {"100:105:", "100:110:", false},
        {"109:120:109", "100:110:", false},
        {"4294967290:4294967310:4294967291", "4294967290:4294967300:", false},
        {"4294967300:4294967310:4294967300", "4294967290:4294967300:", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(snapshot_release) struct snapshot newer = SNAPSHOT_INIT;
        AUTO(snapshot_release) struct snapshot older = SNAPSHOT_INIT;
        struct err err = {0};
        assert_true(snapshot_parse(cases[i].newer, &newer, &err));
        assert_true(snapshot_parse(cases[i].older, &older, &err));
        if (snapshot_covers(&newer, &older) != cases[i].is_covered)
            fail_msg("%s over %s should be %d", cases[i].newer, cases[i].older,
                     cases[i].is_covered);
    }
}

/* Ways to write the password s3cret into a connection string. */
static const char *const with_password[] = {
    "postgres://ann:s3cret@db.example:5433/shop",
    "postgresql://ann:s3cret@db.example:5433/shop?sslmode=require",
    "postgres://ann@db.example:5433/shop?password=s3cret",
    "postgres://ann:%733cret@db.example:5433/shop",
    "host=db.example port=5433 dbname=shop user=ann password=s3cret",
    "host=db.example port=5433 dbname=shop user=ann password = 's3cret' sslpassword=s3cret",
};

static void redacted_urls_tell_all_but_the_password(void **state)
{
    for (size_t i = 0; i < COUNT_OF(with_password); i++) {
        AUTO(str_free) char *text = url_redact(with_password[i]);
        assert_string_equal(text, "ann@db.example:5433/shop");
    }
    AUTO(str_free) char *local = url_redact("postgres:///shop?host=/run/postgresql");
    assert_string_equal(local, "/run/postgresql/shop");
    AUTO(str_free) char *nothing = url_redact("postgres://ann:s3cret@[db/shop");
    assert_null(strstr(nothing, "s3cret"));
}

static void urls_come_apart(void **state)
{
    for (size_t i = 0; i < COUNT_OF(with_password); i++) {
        AUTO(str_free) char *host = url_part(with_password[i], "host");
        AUTO(str_free) char *port = url_part(with_password[i], "port");
        AUTO(str_free) char *password = url_part(with_password[i], "password");
        AUTO(str_free) char *nothing = url_part(with_password[i], "service");
        assert_string_equal(host, "db.example");
        assert_string_equal(port, "5433");
        assert_string_equal(password, "s3cret");
        assert_null(nothing);
    }
    assert_null(url_part("postgres://[", "host"));
}

static void urls_without_password_still_connect(void **state)
{
    struct err err = {0};
    for (size_t i = 0; i < COUNT_OF(with_password); i++) {
        AUTO(str_free) char *text = url_without_password(with_password[i]);
        assert_null(strstr(text, "s3cret"));
        assert_true(url_check(text, "it", &err));
        AUTO(str_free) char *redacted = url_redact(text);
        assert_string_equal(redacted, "ann@db.example:5433/shop");
    }
    AUTO(str_free)
    char *text = url_without_password("postgres://o%27h%5Ca%20@db/shop?sslmode=require");
    AUTO(str_free) char *user = url_part(text, "user");
    AUTO(str_free) char *sslmode = url_part(text, "sslmode");
    assert_string_equal(user, "o'h\\a ");
    assert_string_equal(sslmode, "require");
}

static void bad_urls_are_named_without_their_secrets(void **state)
{
    static const char *const cases[] = {
        "postgres://ann:s3cret@[db/shop",
        "postgres://ann:s3cret@db/shop?nonsense=1",
        "postgres://ann:s3cret%zz@db/shop",
        "postgres://ann:s3cret@db/shop?password=s3cret=s3cret",
        "ann:s3cret@db/shop",
        "host=db password='s3cret",
        "host=db s3cret",
        "mysql://ann:s3cret@db/shop",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err = {0};
        if (url_check(cases[i], "source", &err))
            fail_msg("\"%s\" was taken for a connection string", cases[i]);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.text, "source is not a connection string"));
        assert_non_null(strstr(err.text, "hint: "));
        assert_null(strchr(err.text, '\n'));
        if (strstr(err.text, "s3cret"))
            fail_msg("the error tells the password: %s", err.text);
    }
}

static void hosts_are_paired_as_libpq_does(void **state)
{
    static const struct {
        const char *url;
        size_t count;
        const char *name; /* of the last host */
        const char *address;
        const char *port;
    } cases[] = {
        {"postgresql://u@a:1/d", 1, NULL, NULL, NULL},
        {"postgresql://u@a:1,b:2/d", 2, "b", NULL, "2"},
        {"postgresql://u@a,b/d", 2, "b", NULL, "5432"},
        {"host=a,b,c port=7", 3, "c", NULL, "7"},
        {"host=a,b port=7,", 2, "b", NULL, "5432"},
        {"host=a,b hostaddr=10.0.0.1,10.0.0.2", 2, "b", "10.0.0.2", NULL},
        {"hostaddr=10.0.0.1,10.0.0.2 port=1,2", 2, NULL, "10.0.0.2", "2"},
        {"host=a,b port=1,2,3", 1, NULL, NULL, NULL},
        {"host=a, dbname=d", 1, NULL, NULL, NULL},
        {"host=a,b hostaddr=10.0.0.1", 1, NULL, NULL, NULL},
        {"dbname=d", 1, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(hosts_release) struct hosts hosts = {0};
        hosts_read(cases[i].url, &hosts);
        assert_int_equal(hosts.count, cases[i].count);
        const char *got[] = {hosts_name(&hosts, hosts.count - 1),
                             hosts_address(&hosts, hosts.count - 1),
                             hosts_port(&hosts, hosts.count - 1)};
        const char *expected[] = {cases[i].name, cases[i].address, cases[i].port};
        for (size_t k = 0; k < COUNT_OF(got); k++) {
            assert_int_equal(got[k] == NULL, expected[k] == NULL);
            if (got[k])
                assert_string_equal(got[k], expected[k]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_paired_as_libpq_does),
        cmocka_unit_test(identifiers_are_always_quoted),
        cmocka_unit_test(literals_cannot_be_left),
        cmocka_unit_test(formats_of_sql_quote_their_arguments),
        cmocka_unit_test(lsns_read_what_they_print),
        cmocka_unit_test(lsns_take_small_letters_and_zeros),
        cmocka_unit_test(what_is_no_lsn_is_refused),
        cmocka_unit_test(snapshots_are_read),
        cmocka_unit_test(what_is_no_snapshot_is_refused),
        cmocka_unit_test(snapshots_see_what_had_ended),
        cmocka_unit_test(a_snapshot_covers_what_it_sees_whole),
        cmocka_unit_test(redacted_urls_tell_all_but_the_password),
        cmocka_unit_test(urls_come_apart),
        cmocka_unit_test(urls_without_password_still_connect),
        cmocka_unit_test(bad_urls_are_named_without_their_secrets),
    };
    return cmocka_run_group_tests_name("pg", tests, NULL, NULL);
}
