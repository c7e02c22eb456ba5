/* A growable byte buffer, always NUL-terminated behind its length. In place. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/macros.h"

struct buf {
    char *data; /* owned; NULL while empty and never grown */
    size_t len;
    size_t size;
};

#define BUF_INIT ((struct buf){0})

void buf_release(struct buf *buf); /* AUTO handler */
void buf_reset(struct buf *buf);   /* length 0, memory kept */

void buf_reserve(struct buf *buf, size_t more);
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_puts(struct buf *buf, const char *text);
void buf_putc(struct buf *buf, char c);
void buf_fmt(struct buf *buf, const char *fmt, ...) PRINTF(2, 3);

/* Network byte order. */
void buf_put_u16(struct buf *buf, unsigned value);
void buf_put_u32(struct buf *buf, unsigned value);
void buf_put_u64(struct buf *buf, unsigned long long value);

/* The text, never NULL. Borrowed until the next change. */
const char *buf_text(const struct buf *buf);

/* Hands the text over to the caller (never NULL) and leaves the buffer empty. */
char *buf_take(struct buf *buf) MUST_USE;
