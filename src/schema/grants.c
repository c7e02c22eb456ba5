/* Single grants from the facts. See grants.h. */
#include "schema/grants.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pg/quote.h"

static const char *owner_of(const struct facts *facts, const struct toc_entry *object)
{
    const struct fact *fact = facts_find(facts, FACT_REVOKE, object->catalog, object->oid);
    while (fact && !fact->b[0])
        fact = fact_next(facts, fact);
    return fact ? fact->b : "";
}

static void add(const struct facts *facts, enum fact_kind kind, const struct toc_entry *object,
                const struct grants_limits *limits, struct buf *sql)
{
    const char *owner = owner_of(facts, object);
    const struct fact *fact = facts_find(facts, kind, object->catalog, object->oid);
    for (; fact; fact = fact_next(facts, fact)) {
        bool is_owners = fact->b[0] && strcmp(fact->b, owner) == 0;
        if (!strv_has(limits->missing, fact->b) && !(is_owners && limits->without_owners))
            buf_fmt(sql, "%s; ", fact->a);
    }
}

char *grants_sql(const struct facts *facts, const struct toc_entry *object,
                 const struct grants_limits *limits)
{
    struct buf sql = BUF_INIT;
    add(facts, FACT_REVOKE, object, limits, &sql); /* also what everybody has by default */
    add(facts, FACT_GRANT, object, limits, &sql);
    if (!limits->without_maintain)
        add(facts, FACT_GRANT_MAINTAIN, object, limits, &sql);
    return sql.len ? buf_take(&sql) : NULL;
}

char *grants_policy_sql(const struct facts *facts, const struct toc_entry *policy,
                        const struct strv *missing)
{
    AUTO(buf_release) struct buf roles = BUF_INIT;
    const struct fact *whole = facts_find(facts, FACT_POLICY, policy->catalog, policy->oid);
    const struct fact *role = facts_find(facts, FACT_POLICY_ROLE, policy->catalog, policy->oid);
    for (; role; role = fact_next(facts, role))
        if (!strv_has(missing, role->a))
            quote_add(&roles, roles.len ? ", %I" : "%I", role->a);
    return whole && roles.len ? str_fmt("%s%s%s", whole->a, buf_text(&roles), whole->b) : NULL;
}
