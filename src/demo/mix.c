/* What a writing session does. One text is one transaction, sent in one go. In it stand:
 *   $a, $b  two different accounts     $n  a random number     $u  a number used only once
 *   $c      cents, 1 to 5000           $w  the writer
 * Two sessions that need several rows lock them in the same order, so that they rarely have to be
 * taken apart by the server. */
#include "demo/mix.h"

#include "base/buf.h"

enum { ACCOUNTS = 20000, MAX_CENTS = 5000, WRITERS = 4 };

enum mix_kind {
    MIX_PLAIN,    /* one implicit transaction */
    MIX_BLOCK,    /* brings its own BEGIN and COMMIT, and always writes */
    MIX_ROLLBACK, /* brings its own BEGIN and ROLLBACK */
};

struct mix_item {
    int weight;
    enum mix_kind kind;
    const char *sql;
};

static const struct mix_item items[] = {
    {34, MIX_PLAIN, "SELECT shop.transfer($a, $b, $c)"},
    /* A transfer is taken back and forgotten. */
    {2, MIX_PLAIN,
     "SELECT FROM shop.accounts WHERE id IN (SELECT unnest(ARRAY[from_account, to_account])"
     " FROM shop.transfers WHERE id = 1 + $n % 40000) ORDER BY id FOR UPDATE;"
     "WITH gone AS (DELETE FROM shop.transfers WHERE id = 1 + $n % 40000 RETURNING *)"
     " UPDATE shop.accounts a SET turnover = turnover - amount,"
     "  balance = balance + CASE a.id WHEN from_account THEN amount ELSE -amount END"
     " FROM gone WHERE a.id IN (from_account, to_account)"},

    /* Inserts into several tables; updates of an enum and a composite; a delete that cascades. */
    {10, MIX_PLAIN,
     "WITH o AS (INSERT INTO shop.\"Order\" (\"orderId\", \"customer\", \"note\")"
     " VALUES (nextval('shop.\"Order_Ids\"'), 1 + $n % 60000, 'by $w') RETURNING \"orderId\")"
     " INSERT INTO shop.\"Order Item\" SELECT \"orderId\", line, 1 + ($n % 1000 + line) % 20000,"
     "  line, 9.99 FROM o, generate_series(1, 1 + $n % 4) line"},
    {8, MIX_PLAIN,
     "UPDATE shop.\"Order\" SET \"state\" = 'sent', \"Ship To\".city = 'City $n'"
     " WHERE \"orderId\" = 1 + $n % 120000"},
    {2, MIX_PLAIN, "DELETE FROM shop.\"Order\" WHERE \"orderId\" = 1 + $n % 120000"},
    {4, MIX_PLAIN,
     "UPDATE shop.customers SET profile = jsonb_set(profile, '{visits}', '$n'),"
     " tags = tags || 'w$w'::text WHERE id = 1 + $n % 60000"},
    /* A trigger writes, too. */
    {4, MIX_PLAIN,
     "UPDATE shop.products SET price = ($c + 100) / 100.0, attributes = attributes || '{\"n\": $n}'"
     " WHERE id = 1 + $n % 20000"},

    /* Keys change: a primary key beside unchanged TOAST, one of two columns, a replica identity. */
    {3, MIX_PLAIN,
     "UPDATE shop.product_images SET nr = 10 + $u WHERE product_id = 1 + $n % 1000 AND nr ="
     " (SELECT min(nr) FROM shop.product_images WHERE product_id = 1 + $n % 1000)"},
    {2, MIX_PLAIN,
     "UPDATE shop.\"Order Item\" SET \"line\" = 10 + $u WHERE \"line\" = 1"
     " AND \"orderId\" = 1 + $n % 100000"},
    {2, MIX_PLAIN,
     "UPDATE shop.coupons SET code = 'K-$u', uses = uses + 1 WHERE code = 'C-' || 1 + $n % 5000"},

    /* TOAST: written, left alone, removed. */
    {3, MIX_PLAIN,
     "UPDATE shop.reviews SET body = shop.noise($n % 1000000, 80 + $n % 150)"
     " WHERE id = 1 + $n % 6000"},
    {5, MIX_PLAIN, "UPDATE shop.reviews SET stars = 1 + $n % 5 WHERE id = 1 + $n % 6000"},
    {2, MIX_PLAIN,
     "INSERT INTO shop.reviews (product_id, customer_id, stars, body)"
     " VALUES (1 + $n % 20000, 1 + $n % 60000, 3, shop.noise($n % 1000000, 100))"},
    {1, MIX_PLAIN, "DELETE FROM shop.reviews WHERE id = 1 + $n % 6000"},
    {1, MIX_PLAIN,
     "UPDATE shop.product_images SET data = decode(shop.noise($n % 1000000, 150), 'hex')"
     " WHERE product_id = 1 + $n % 1000"},

    /* Partitions: into several, from one to the next, many rows at once. */
    {5, MIX_PLAIN,
     "INSERT INTO shop.page_views (at, page, visitor, address)"
     " SELECT timestamptz '2026-01-15 00:00+00' + $n % 5000000 * interval '1 second' * i,"
     "  '/new', md5('$u')::uuid, '::1' FROM generate_series(1, 3) i"},
    {2, MIX_PLAIN,
     "UPDATE shop.page_views SET at = at + interval '31 days' WHERE id = 1 + $n % 300000"},
    {2, MIX_PLAIN, "DELETE FROM shop.page_views WHERE id = 1 + $n % 300000"},
    {1, MIX_PLAIN,
     "INSERT INTO shop.page_views (at, page) SELECT clock_timestamp(), '/batch/' || i"
     " FROM generate_series(1, 200) i"},

    /* A table without key: rows that occur more than once, NULL, NaN. */
    {2, MIX_PLAIN,
     "UPDATE shop.stock_moves SET quantity = quantity + 1 WHERE ctid = (SELECT ctid"
     " FROM shop.stock_moves OFFSET $n % 1900 LIMIT 1 FOR UPDATE SKIP LOCKED)"},
    {1, MIX_PLAIN,
     "DELETE FROM shop.stock_moves WHERE ctid = (SELECT ctid FROM shop.stock_moves"
     " WHERE shelf IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED)"},
    {1, MIX_PLAIN,
     "INSERT INTO shop.stock_moves SELECT $n % 500, NULL, 1, interval '1 day', 'NaN'"
     " FROM generate_series(1, 2)"},

    {3, MIX_PLAIN, "INSERT INTO shop.events (kind, detail) VALUES ('sale', '{\"by\":  $w}')"},

    /* What must not arrive. */
    {4, MIX_ROLLBACK,
     "BEGIN; SELECT shop.transfer($a, $b, $c); DELETE FROM shop.reviews WHERE id = 1 + $n % 6000;"
     "INSERT INTO shop.events (kind) VALUES ('never'); ROLLBACK"},
    {4, MIX_BLOCK,
     "BEGIN; SELECT shop.transfer($a, $b, $c);"
     "SAVEPOINT one; UPDATE shop.accounts SET balance = 0 WHERE id = $a; ROLLBACK TO one;"
     "SAVEPOINT two; INSERT INTO shop.events (kind) VALUES ('kept'); RELEASE two; COMMIT"},
};

void mix_init(struct mix *mix, int number)
{
    *mix = (struct mix){.random = 0x9e3779b97f4a7c15U * (uint64_t)(number + 1), .number = number};
}

/* xorshift64*: the same mix on every run. Below 2^31. */
static int next_random(struct mix *mix)
{
    mix->random ^= mix->random >> 12;
    mix->random ^= mix->random << 25;
    mix->random ^= mix->random >> 27;
    return (int)((mix->random * 0x2545f4914f6cdd1dU) >> 33);
}

static const struct mix_item *pick(struct mix *mix)
{
    int sum = 0;
    for (size_t i = 0; i < COUNT_OF(items); i++)
        sum += items[i].weight;
    int left = next_random(mix) % sum;
    size_t at = 0;
    for (; left >= items[at].weight; at++)
        left -= items[at].weight;
    return &items[at];
}

static void expand(const char *sql, const int *values, struct buf *out)
{
    static const char names[] = "abcnuw";
    for (; *sql; sql++) {
        const char *name = *sql == '$' && sql[1] ? strchr(names, sql[1]) : NULL;
        if (name) {
            buf_fmt(out, "%d", values[name - names]);
            sql++;
        } else {
            buf_putc(out, *sql);
        }
    }
}

char *mix_next(struct mix *mix, bool *ret_is_rollback)
{
    const struct mix_item *item = pick(mix);
    int a = next_random(mix) % ACCOUNTS;
    int b = (a + 1 + next_random(mix) % (ACCOUNTS - 1)) % ACCOUNTS;
    int values[] = {a + 1,
                    b + 1,
                    1 + next_random(mix) % MAX_CENTS,
                    next_random(mix),
                    mix->serial++ * WRITERS + mix->number,
                    mix->number};
    AUTO(buf_release) struct buf sql = BUF_INIT;
    expand(item->sql, values, &sql);
    buf_puts(&sql, item->kind == MIX_PLAIN ? "; SELECT pg_current_xact_id_if_assigned() IS NOT NULL"
                                           : "; SELECT true");
    *ret_is_rollback = item->kind == MIX_ROLLBACK;
    return buf_take(&sql);
}
