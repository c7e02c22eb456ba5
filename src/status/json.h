/* What both reports need to make JSON. */
#pragma once

#include <jansson.h>

/* The text, or null for NULL. Bytes of a database without an encoding may be no UTF-8: shown as
 * '?'. A new reference. */
json_t *json_text_or_null(const char *text);
