/* Connection strings: postgres:// URLs and keyword=value, as libpq reads them. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Checks that text is a connection string. what names it in errors ("source"). */
bool url_check(const char *text, const char *what, struct err *err);

/* For people: "user@host:port/dbname", never a password. Owned by the caller. */
char *url_redact(const char *text);

/* One part of it (host, port, user, dbname, password, sslmode …); NULL when it is not there.
 * Owned by the caller. */
char *url_part(const char *text, const char *keyword);

/* As keyword='value' text without the password (for child processes, whose arguments everybody
 * can read). Owned by the caller. */
char *url_without_password(const char *text);
