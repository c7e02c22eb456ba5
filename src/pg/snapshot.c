/* Snapshot text and visibility. See snapshot.h. */
#include "pg/snapshot.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

void snapshot_release(struct snapshot *snapshot)
{
    free(snapshot->xip);
    *snapshot = SNAPSHOT_INIT;
}

static bool parse_id(const char **text, char end, uint64_t *ret_id)
{
    char *rest = NULL;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *ret_id = strtoull(*text, &rest, 10);
    if (errno || (*rest != end && !(end == ',' && *rest == '\0')))
        return false;
    *text = *rest ? rest + 1 : rest;
    return true;
}

bool snapshot_parse(const char *text, struct snapshot *ret_snapshot, struct err *err)
{
    struct snapshot made = SNAPSHOT_INIT;
    const char *rest = text;
    bool is_good = parse_id(&rest, ':', &made.xmin) && parse_id(&rest, ':', &made.xmax);
    /* A snapshot that a slot exported may have xmin beyond xmax; the server asks for xmin first. */
    made.xmax = MAX_OF(made.xmin, made.xmax);
    while (is_good && *rest) {
        uint64_t id = 0;
        is_good = parse_id(&rest, ',', &id) && id >= made.xmin && id < made.xmax;
        made.xip = mem_resize(made.xip, made.xip_count + 1, sizeof(*made.xip));
        made.xip[made.xip_count++] = id;
    }
    if (!is_good) {
        snapshot_release(&made);
        return err_set(err, ERR_FATAL, "not a snapshot: \"%s\"", text);
    }
    *ret_snapshot = made;
    return true;
}

static bool is_running(const struct snapshot *snapshot, uint64_t xid)
{
    for (size_t i = 0; i < snapshot->xip_count; i++)
        if (snapshot->xip[i] == xid)
            return true;
    return false;
}

/* The 64-bit id nearest to the snapshot's upper bound that has these low 32 bits. */
static uint64_t widen(const struct snapshot *snapshot, uint32_t xid)
{
    int32_t distance = (int32_t)(xid - (uint32_t)snapshot->xmax);
    return snapshot->xmax + (uint64_t)(int64_t)distance;
}

bool snapshot_sees(const struct snapshot *snapshot, uint32_t xid)
{
    uint64_t wide = widen(snapshot, xid);
    if (wide < snapshot->xmin)
        return true;
    return wide < snapshot->xmax && !is_running(snapshot, wide);
}

bool snapshot_covers(const struct snapshot *newer, const struct snapshot *older)
{
    /* Every id below older's xmax that older sees must not be running in newer. */
    if (newer->xmin >= older->xmax)
        return true;
    if (newer->xmax < older->xmax)
        return false;
    for (size_t i = 0; i < newer->xip_count; i++)
        if (newer->xip[i] < older->xmax && !is_running(older, newer->xip[i]))
            return false;
    return true;
}
