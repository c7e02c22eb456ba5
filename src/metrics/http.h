/* The endpoint: /metrics for Prometheus, /healthz for supervisors. Its own thread
 * (libmicrohttpd's). */
#pragma once

#include "base/err.h"
#include "base/macros.h"
#include "metrics/metrics.h"

struct http;

/* Listens on "host:port"; ":port" is loopback, "*:port" every address, "[::1]:port" IPv6, port 0 a
 * free one. metrics is borrowed and must outlive the endpoint; pipeline is copied.
 * NULL with ERR_CONFIG when listen makes no sense or the address cannot be had. */
struct http *http_start(const char *listen, const struct metrics *metrics, const char *pipeline,
                        struct err *err) MUST_USE;
int http_port(const struct http *http);
void http_free(struct http **http); /* AUTO handler: ends the thread */
