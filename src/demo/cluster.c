/* The demo's clusters: initdb, configuration, start, stop. The servers are our own children, so
 * that they go when we go, and are stopped by their process, never by a name. */
#include "demo/cluster.h"

#include <signal.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "demo/text.h"

enum { START_TIMEOUT_MS = 30000, START_TRIES = 3, STOP_TIMEOUT_MS = 10000 };

static void fill_options(struct process_options *options, const struct place *place,
                         const char *what)
{
    options->what = what;
    options->dir = place->dir;
    options->uid = place->uid;
    options->gid = place->gid;
}

static bool make_cluster(const struct cluster *cluster, const struct place *place,
                         const char *const *env, const struct stop *stop, struct err *err)
{
    AUTO(str_free) char *initdb = str_fmt("%s/initdb", place->bindir);
    AUTO(str_free) char *data = place_path(place, cluster->name);
    AUTO(str_free) char *password_file = str_fmt("--pwfile=%s/password", place->dir);
    AUTO(str_free) char *log_path = place_path(place, "initdb.log");
    const char *argv[] = {initdb,
                          "-D",
                          data,
                          "-U",
                          "demo",
                          "-A",
                          "scram-sha-256",
                          password_file,
                          "-N",
                          "-E",
                          "UTF8",
                          "--locale=C.UTF-8",
                          "--no-instructions",
                          NULL};
    struct process_options options = {
        .argv = argv, .env = env, .log_path = log_path, .death_signal = SIGTERM};
    fill_options(&options, place, "initdb");
    return process_run(&options, stop, err);
}

/* Without fsync and full page writes: a machine's crash would cost only the demo. */
static bool configure(const struct cluster *cluster, const struct place *place, struct err *err)
{
    bool is_source = strcmp(cluster->name, "source") == 0;
    AUTO(str_free) char *name = str_fmt("%s/postgresql.auto.conf", cluster->name);
    AUTO(str_free)
    char *text = str_fmt("listen_addresses = '127.0.0.1'\n"
                         "unix_socket_directories = '%s'\n"
                         "wal_level = %s\n"
                         "fsync = off\n"
                         "full_page_writes = off\n"
                         "shared_buffers = 128MB\n"
                         "max_wal_size = 2GB\n"
                         "log_line_prefix = '%%m [%%p] %%a: '\n",
                         place->dir, is_source ? "logical" : "replica");
    return place_write(place, name, text, err);
}

/* Not named as the engine's sessions are: it ends those that a killed engine has left. */
bool cluster_connect(const struct cluster *cluster, const char *role, const char *options,
                     const struct stop *stop, struct conn **ret_conn, struct err *err)
{
    AUTO(str_free) char *application_name = str_fmt("shop:%s", role);
    struct conn_options how = {.url = cluster->url,
                               .what = cluster->name,
                               .application_name = application_name,
                               .extra_options = options,
                               .stop = stop};
    return conn_open(&how, ret_conn, err);
}

static void set_url(struct cluster *cluster, const struct place *place, const char *database)
{
    str_set(&cluster->url, str_fmt("postgresql://demo:%s@127.0.0.1:%d/%s", place->password,
                                   cluster->port, database));
}

/* Waits until the server answers, and makes the database. */
static bool await(struct cluster *cluster, const struct place *place, const struct stop *stop,
                  struct err *err)
{
    int64_t until = clock_ms() + START_TIMEOUT_MS;
    AUTO(conn_free) struct conn *conn = NULL;
    set_url(cluster, place, "postgres");
    while (!conn && !cluster_connect(cluster, "start", NULL, stop, &conn, err)) {
        if (err->kind != ERR_RETRY || clock_ms() > until)
            return false;
        if (process_wait(&cluster->server, 30, stop))
            return err_set(err, ERR_RETRY, "the %s server ended", cluster->name);
    }
    *err = (struct err){0};
    set_url(cluster, place, "shop");
    return conn_exec(conn, "CREATE DATABASE shop", err);
}

static bool start_server(struct cluster *cluster, const struct place *place, const char *const *env,
                         int death_signal, struct err *err)
{
    AUTO(str_free) char *postgres = str_fmt("%s/postgres", place->bindir);
    AUTO(str_free) char *data = place_path(place, cluster->name);
    AUTO(str_free) char *port = str_fmt("%d", cluster->port);
    AUTO(str_free) char *log_path = str_fmt("%s/%s.log", place->dir, cluster->name);
    const char *argv[] = {postgres, "-D", data, "-p", port, NULL};
    struct process_options options = {
        .argv = argv, .env = env, .log_path = log_path, .death_signal = death_signal};
    fill_options(&options, place, "the server");
    return process_start(&options, &cluster->server, err);
}

/* Another program may take the port between our look and the server's start: a few tries. */
static bool start_on_free_port(struct cluster *cluster, const struct place *place,
                               const char *const *env, int death_signal, const struct stop *stop,
                               struct err *err)
{
    for (int left = START_TRIES; left > 0; left--) {
        cluster->port = place_free_port(err);
        if (!cluster->port || !start_server(cluster, place, env, death_signal, err))
            return false;
        if (await(cluster, place, stop, err))
            return true;
        if (cluster->server.pid)
            return false;
    }
    AUTO(str_free) char *log_path = str_fmt("%s/%s.log", place->dir, cluster->name);
    return process_failed(&cluster->server, log_path, err);
}

bool cluster_start(struct cluster *cluster, const struct place *place, bool outlives_us,
                   const struct stop *stop, struct err *err)
{
    AUTO(str_free) char *path = str_fmt("PATH=%s:/usr/bin:/bin", place->bindir);
    AUTO(str_free) char *home = str_fmt("HOME=%s", place->dir);
    const char *env[] = {path, home, "LC_ALL=C.UTF-8", "TZ=UTC", NULL};
    return place_write(place, "password", place->password, err) &&
           make_cluster(cluster, place, env, stop, err) && configure(cluster, place, err) &&
           start_on_free_port(cluster, place, env, outlives_us ? 0 : SIGQUIT, stop, err);
}

void clusters_stop(struct cluster *clusters, size_t count)
{
    static const int how[] = {SIGINT, SIGQUIT, SIGKILL, 0};
    for (size_t i = 0; i < count; i++)
        if (clusters[i].server.pid)
            (void)kill(clusters[i].server.pid, SIGINT);
    for (size_t i = 0; i < count; i++)
        process_end(&clusters[i].server, how, STOP_TIMEOUT_MS);
}

void cluster_release(struct cluster *cluster)
{
    str_wipe(&cluster->url);
}
