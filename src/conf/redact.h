/* Connection strings without their secrets, for every output. */
#pragma once

#include "base/macros.h"

/* The text with each password replaced by "***": postgres://user:…@host, ?password=… and
 * password='…'; sslpassword too. Never fails: what cannot be understood is hidden as a whole
 * where it may hold a password. Owned by the caller. */
char *redact_url(const char *url) MUST_USE;
