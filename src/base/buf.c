/* Growable byte buffer. See buf.h. */
#include "base/buf.h"

#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = BUF_INIT;
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void buf_reserve(struct buf *buf, size_t more)
{
    if (buf->size - buf->len > more)
        return;
    size_t size = buf->size ? buf->size : 64;
    while (size - buf->len <= more)
        size *= 2;
    buf->data = mem_resize(buf->data, size, 1);
    buf->size = size;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    buf_reserve(buf, len);
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_puts(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_putc(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_fmt(struct buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int need = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (need < 0)
        abort();
    buf_reserve(buf, (size_t)need + 1);
    va_start(args, fmt);
    (void)vsnprintf(buf->data + buf->len, (size_t)need + 1, fmt, args);
    va_end(args);
    buf->len += (size_t)need;
}

void buf_put_u16(struct buf *buf, unsigned value)
{
    uint16_t wire = htobe16((uint16_t)value);
    buf_add(buf, &wire, sizeof(wire));
}

void buf_put_u32(struct buf *buf, unsigned value)
{
    uint32_t wire = htobe32((uint32_t)value);
    buf_add(buf, &wire, sizeof(wire));
}

void buf_put_u64(struct buf *buf, unsigned long long value)
{
    uint64_t wire = htobe64((uint64_t)value);
    buf_add(buf, &wire, sizeof(wire));
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

char *buf_take(struct buf *buf)
{
    char *text = buf->data ? TAKE(buf->data) : str_dup("");
    *buf = BUF_INIT;
    return text;
}
