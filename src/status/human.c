/* Names, sizes and times for people. See human.h. */
#include "status/human.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/mem.h"

int human_text(FILE *out, const char *text)
{
    int width = 0;
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == 0x7f) {
            (void)fprintf(out, "\\x%02x", byte);
            width += 4;
            continue;
        }
        (void)fputc(byte, out);
        width += (byte & 0xC0) != 0x80; /* not the further bytes of a character */
    }
    return width;
}

void human_padded(FILE *out, const char *text, int width)
{
    int written = human_text(out, text);
    (void)fprintf(out, "%*s", MAX_OF(width - written, 0), "");
}

char *human_bytes(int64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    double value = (double)bytes;
    for (; value >= 1024 && unit + 1 < COUNT_OF(units); unit++)
        value /= 1024;
    return unit ? str_fmt("%.1f %s", value, units[unit]) : str_fmt("%" PRId64 " bytes", bytes);
}

char *human_seconds(int64_t seconds)
{
    if (seconds < 60)
        return str_fmt("%" PRId64 " s", seconds);
    if (seconds < 3600)
        return str_fmt("%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
    return str_fmt("%" PRId64 " h %" PRId64 " min", seconds / 3600, seconds % 3600 / 60);
}
