/* Several hosts in one connection string. See hosts.h. */
#include "pg/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/url.h"

static const char DEFAULT_PORT[] = "5432";

static void split(const char *text, struct strv *list)
{
    while (text && *text) {
        size_t len = strcspn(text, ",");
        strv_take(list, str_dup_n(text, len));
        if (!text[len])
            return;
        text += len + 1;
        if (!*text)
            strv_add(list, ""); /* behind the last comma */
    }
}

static bool has_empty(const struct strv *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i][0])
            return true;
    return false;
}

/* One port serves all hosts; an empty one is the default. */
static void fill_ports(struct strv *ports, size_t count)
{
    struct strv filled = STRV_INIT;
    for (size_t i = 0; i < count && ports->count; i++) {
        const char *port = ports->items[ports->count == 1 ? 0 : i];
        strv_add(&filled, *port ? port : DEFAULT_PORT);
    }
    strv_release(ports);
    *ports = filled;
}

static bool is_paired(const struct strv *list, size_t count)
{
    return (list->count == 0 || list->count == count) && !has_empty(list);
}

void hosts_read(const char *url, struct hosts *ret_hosts)
{
    AUTO(str_free) char *names = url_part(url, "host");
    AUTO(str_free) char *addresses = url_part(url, "hostaddr");
    AUTO(str_free) char *ports = url_part(url, "port");
    struct hosts hosts = {.attributes = url_part(url, "target_session_attrs")};
    split(names, &hosts.names);
    split(addresses, &hosts.addresses);
    split(ports, &hosts.ports);
    hosts.count = MAX_OF(hosts.names.count, hosts.addresses.count);
    if (hosts.count < 2 || !is_paired(&hosts.names, hosts.count) ||
        !is_paired(&hosts.addresses, hosts.count) ||
        (hosts.ports.count > 1 && hosts.ports.count != hosts.count)) {
        strv_release(&hosts.names);
        strv_release(&hosts.addresses);
        strv_release(&hosts.ports);
        hosts.count = 1;
    }
    fill_ports(&hosts.ports, hosts.count);
    *ret_hosts = hosts;
}

void hosts_release(struct hosts *hosts)
{
    strv_release(&hosts->names);
    strv_release(&hosts->addresses);
    strv_release(&hosts->ports);
    free(hosts->attributes);
    *hosts = (struct hosts){0};
}

static const char *nth(const struct strv *list, size_t i)
{
    return i < list->count ? list->items[i] : NULL;
}

const char *hosts_name(const struct hosts *hosts, size_t i)
{
    return nth(&hosts->names, i);
}

const char *hosts_address(const struct hosts *hosts, size_t i)
{
    return nth(&hosts->addresses, i);
}

const char *hosts_port(const struct hosts *hosts, size_t i)
{
    return nth(&hosts->ports, i);
}
