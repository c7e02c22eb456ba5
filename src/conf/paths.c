/* The tree of keys that the table's paths make: finding places, and the one that was meant. */
#include "conf/paths.h"

#include <string.h>

#include "base/mem.h"
#include "conf/setting.h"
#include "conf/suggest.h"
#include "conf/unsupported.h"

/* The path of that number of a setting; NULL behind the last. */
static const char *path_of(const struct setting *setting, size_t number)
{
    if (number == 0 || !setting->path)
        return setting->path;
    return setting->paths ? setting->paths[number - 1] : NULL;
}

int setting_by_path(const char *path)
{
    for (size_t i = 0; i < settings_count; i++) {
        const char *known;
        for (size_t n = 0; (known = path_of(&settings_table[i], n)); n++)
            if (strcmp(known, path) == 0)
                return (int)i;
    }
    return -1;
}

/* Whether path begins with the keys of above; what is below them. */
static const char *below(const char *path, const char *above, size_t above_len)
{
    if (above_len == 0)
        return path;
    bool is_below = strncmp(path, above, above_len) == 0 && path[above_len] == '.';
    return is_below ? path + above_len + 1 : NULL;
}

bool path_is_inner(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < settings_count; i++) {
        const char *known;
        for (size_t n = 0; (known = path_of(&settings_table[i], n)); n++)
            if (below(known, path, len))
                return true;
    }
    for (size_t i = 0; i < unsupported_count; i++)
        if (unsupported_table[i].path && below(unsupported_table[i].path, path, len))
            return true;
    return false;
}

struct nearest_place {
    size_t limit; /* a distance below it is nearer */
    char *path;   /* owned; NULL: none yet */
};

static const char *last_key(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* Known paths, or their beginnings, that differ from path in its last key alone. */
static void consider_beside(struct nearest_place *nearest, const char *path, const char *known)
{
    const char *key = last_key(path);
    size_t parent_len = key == path ? 0 : (size_t)(key - path) - 1;
    const char *rest = below(known, path, parent_len);
    if (!rest)
        return;
    AUTO(str_free) char *sibling = str_dup_n(rest, strcspn(rest, "."));
    size_t distance = word_distance(key, sibling);
    if (distance < nearest->limit) {
        nearest->limit = distance;
        str_set(&nearest->path, str_dup_n(known, (size_t)(rest - known) + strcspn(rest, ".")));
    }
}

/* Places whose last key is the same, or that are alike as a whole. */
static void consider_elsewhere(struct nearest_place *nearest, const char *path, const char *known)
{
    bool is_same = strcmp(last_key(path), last_key(known)) == 0;
    size_t distance = is_same ? 0 : word_distance(path, known);
    if (distance < nearest->limit) {
        nearest->limit = distance;
        str_set(&nearest->path, str_dup(known));
    }
}

static void consider_all(struct nearest_place *nearest, const char *path,
                         void (*consider)(struct nearest_place *, const char *, const char *))
{
    for (size_t i = 0; i < settings_count; i++) {
        const char *known;
        for (size_t n = 0; (known = path_of(&settings_table[i], n)); n++)
            consider(nearest, path, known);
    }
}

char *nearest_path(const char *path)
{
    struct nearest_place nearest = {.limit = word_tolerance(strlen(last_key(path))) + 1};
    consider_all(&nearest, path, consider_beside);
    if (nearest.path)
        return nearest.path;
    nearest.limit = word_tolerance(strlen(path)) + 1;
    consider_all(&nearest, path, consider_elsewhere);
    return nearest.path;
}
