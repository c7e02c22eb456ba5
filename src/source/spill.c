/* Spills: chunks of records in memory, blocks of them in files. See spill.h.
 *
 * Place in the flow: the stream reader sets aside here what it may not hand on yet, and takes it
 * away again. A chunk is filled with records; when memory is short all chunks of the largest
 * spill are written, each as one block: a header, then a zstd frame with zstd's own checksum of the
 * content. Reading takes whole chunks: first those in the file, then those in memory, which are
 * newer. Runs in its owner's thread. */
#include "source/spill.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>
#include <zstd.h>

#include "base/fault.h"
#include "base/mem.h"

enum {
    FIRST_CHUNK = 16 * 1024,
    CHUNK_BYTES = 256 * 1024,
    LEVEL = 1,
};

#define MAGIC UINT64_C(0x6B6E75727473706C)

struct chunk {
    struct chunk *next;
    size_t size;
    size_t used;
    char data[]; /* records: a length of four bytes, then the bytes */
};

/* In the file before each block. */
struct block {
    uint64_t magic;
    uint64_t raw_len;
    uint64_t packed_len;
};

struct spill {
    struct spill *next, *prev; /* in the store */
    struct spill_store *store; /* borrowed */
    char *purpose;
    struct chunk *chunks; /* in memory, oldest first; none is empty */
    struct chunk *last;
    size_t memory; /* of the chunks */
    int fd;        /* -1: there is no file */
    uint64_t read_at;
    uint64_t write_at;
    size_t largest;        /* block in the file, unpacked */
    struct chunk *reading; /* of which records are taken */
    size_t reading_at;
};

struct spill_store {
    struct metrics *metrics; /* borrowed */
    char *dir;
    size_t max_memory;
    size_t memory;
    struct spill *spills;
    ZSTD_CCtx *packer;
    ZSTD_DCtx *unpacker;
    size_t buffer_size;
    char *buffer; /* packed bytes on their way */
};

/* --- files --- */

static bool is_full_errno(int number)
{
    return number == ENOSPC || number == EDQUOT;
}

bool spill_is_full(const struct err *err)
{
    return err->kind == ERR_RETRY && strcmp(err->sqlstate, "53100") == 0;
}

static bool full(const struct spill_store *store, const char *what, const char *why,
                 struct err *err)
{
    (void)err_set(err, ERR_RETRY, "could not write %s to %s: %s", what, store->dir, why);
    memcpy(err->sqlstate, "53100", sizeof(err->sqlstate)); /* PostgreSQL's disk_full */
    return err_hint(err, "make room there; or stop, and choose another directory with spill_dir");
}

/* A file without a name, or -1 and errno. */
static int open_nameless(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    AUTO(str_free) char *path = str_fmt("%s/trunkline-spill-XXXXXX", dir);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static bool make_file(const struct spill_store *store, const char *what, int *ret_fd,
                      struct err *err)
{
    int fd = open_nameless(store->dir);
    if (fd >= 0) {
        *ret_fd = fd;
        return true;
    }
    if (is_full_errno(errno))
        return full(store, what, strerror(errno), err);
    (void)err_set(err, ERR_CONFIG, "cannot make a file for %s in %s: %s", what, store->dir,
                  strerror(errno));
    return err_hint(err, "choose a directory that this user may write to with spill_dir");
}

static bool put(struct spill *spill, const void *data, size_t len, uint64_t at, struct err *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(spill->fd, (const char *)data + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && is_full_errno(errno))
            return full(spill->store, spill->purpose, strerror(errno), err);
        if (n <= 0)
            return err_set(err, ERR_FATAL, "could not write %s to %s: %s", spill->purpose,
                           spill->store->dir, strerror(errno));
        done += (size_t)n;
    }
    return true;
}

static bool damaged(const struct spill *spill, const char *how, struct err *err)
{
    (void)err_set(err, ERR_FATAL, "the file in %s that holds %s is damaged at byte %llu: %s",
                  spill->store->dir, spill->purpose, (unsigned long long)spill->read_at, how);
    return err_hint(err, "look at that disk and its log; a new start reads it from the source "
                         "again");
}

static bool get(struct spill *spill, void *data, size_t len, uint64_t at, struct err *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(spill->fd, (char *)data + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return damaged(spill, strerror(errno), err);
        if (n == 0)
            return damaged(spill, "it is cut short", err);
        done += (size_t)n;
    }
    return true;
}

/* --- blocks: written and read --- */

static bool write_block(struct spill *spill, const struct chunk *chunk, struct err *err)
{
    struct spill_store *store = spill->store;
    struct block block = {.magic = MAGIC, .raw_len = chunk->used};
    ZSTD_inBuffer in = {.src = chunk->data, .size = chunk->used};
    uint64_t at = spill->write_at + sizeof(block);
    (void)ZSTD_CCtx_reset(store->packer, ZSTD_reset_session_only);
    (void)ZSTD_CCtx_setPledgedSrcSize(store->packer, chunk->used);
    for (size_t left = 1; left > 0;) {
        ZSTD_outBuffer out = {.dst = store->buffer, .size = store->buffer_size};
        left = ZSTD_compressStream2(store->packer, &out, &in, ZSTD_e_end);
        if (ZSTD_isError(left))
            return err_set(err, ERR_FATAL, "could not compress %s: %s", spill->purpose,
                           ZSTD_getErrorName(left));
        if (!put(spill, out.dst, out.pos, at, err))
            return false;
        at += out.pos;
    }
    block.packed_len = at - spill->write_at - sizeof(block);
    if (!put(spill, &block, sizeof(block), spill->write_at, err))
        return false;
    spill->write_at = at;
    spill->largest = MAX_OF(spill->largest, chunk->used);
    metrics_add(store->metrics, METRIC_SPILLED_BYTES, chunk->used);
    return true;
}

/* The bytes behind a block's header, unpacked into a chunk of just the right size. */
static bool unpack(struct spill *spill, uint64_t at, uint64_t packed_len, struct chunk *chunk,
                   struct err *err)
{
    struct spill_store *store = spill->store;
    ZSTD_outBuffer out = {.dst = chunk->data, .size = chunk->size};
    size_t left = 1;
    (void)ZSTD_DCtx_reset(store->unpacker, ZSTD_reset_session_only);
    while (packed_len > 0) {
        ZSTD_inBuffer in = {.src = store->buffer, .size = MIN_OF(store->buffer_size, packed_len)};
        if (!get(spill, store->buffer, in.size, at, err))
            return false;
        at += in.size;
        packed_len -= in.size;
        while (in.pos < in.size) {
            size_t before = in.pos + out.pos;
            left = ZSTD_decompressStream(store->unpacker, &out, &in);
            if (ZSTD_isError(left))
                return damaged(spill, ZSTD_getErrorName(left), err);
            if (in.pos + out.pos == before || (left == 0 && in.pos < in.size))
                return damaged(spill, "a block is longer than it should be", err);
        }
    }
    if (left != 0 || out.pos != chunk->size)
        return damaged(spill, "a block is not whole", err);
    chunk->used = out.pos;
    return true;
}

static struct chunk *chunk_new(size_t size)
{
    struct chunk *chunk = mem_resize(NULL, 1, sizeof(*chunk) + size);
    *chunk = (struct chunk){.size = size};
    return chunk;
}

static bool read_block(struct spill *spill, struct chunk **ret_chunk, struct err *err)
{
    struct block block;
    if (!get(spill, &block, sizeof(block), spill->read_at, err))
        return false;
    uint64_t at = spill->read_at + sizeof(block);
    if (block.magic != MAGIC || block.raw_len > spill->largest || block.packed_len == 0 ||
        at > spill->write_at || block.packed_len > spill->write_at - at)
        return damaged(spill, "a block's header makes no sense", err);
    struct chunk *chunk = chunk_new(block.raw_len);
    if (!unpack(spill, at, block.packed_len, chunk, err)) {
        free(chunk);
        return false;
    }
    spill->read_at = at + block.packed_len;
    *ret_chunk = chunk;
    return true;
}

/* --- memory --- */

static void count(struct spill *spill, ptrdiff_t bytes)
{
    spill->memory += (size_t)bytes;
    spill->store->memory += (size_t)bytes;
}

static struct chunk *take_first(struct spill *spill)
{
    struct chunk *chunk = spill->chunks;
    spill->chunks = chunk->next;
    if (!spill->chunks)
        spill->last = NULL;
    count(spill, -(ptrdiff_t)chunk->size);
    return chunk;
}

/* A block that was written in part is written again, from where it began; what it took of a full
 * disk is given back. */
static bool write_all(struct spill *spill, struct err *err)
{
    if (spill->fd < 0 && !make_file(spill->store, spill->purpose, &spill->fd, err))
        return false;
    while (spill->chunks) {
        if (!fault_point("spill.write", err) || !write_block(spill, spill->chunks, err)) {
            (void)!ftruncate(spill->fd, (off_t)spill->write_at);
            return false;
        }
        free(take_first(spill));
    }
    return true;
}

bool spill_store_settle(struct spill_store *store, struct err *err)
{
    while (store->memory > store->max_memory) {
        struct spill *spill, *largest = NULL;
        DL_FOREACH(store->spills, spill)
        if (!largest || spill->memory > largest->memory)
            largest = spill;
        assert(largest);
        if (!write_all(largest, err))
            return false;
    }
    return true;
}

void spill_append(struct spill *spill, const void *data, size_t len)
{
    uint32_t wire = (uint32_t)len; /* a message of PostgreSQL is smaller than 1 GiB */
    size_t size = sizeof(wire) + len;
    struct chunk *chunk = spill->last;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t usual = chunk ? MIN_OF(2 * chunk->size, (size_t)CHUNK_BYTES) : FIRST_CHUNK;
        chunk = chunk_new(MAX_OF(usual, size));
        if (spill->last)
            spill->last->next = chunk;
        else
            spill->chunks = chunk;
        spill->last = chunk;
        count(spill, (ptrdiff_t)chunk->size);
    }
    memcpy(chunk->data + chunk->used, &wire, sizeof(wire));
    memcpy(chunk->data + chunk->used + sizeof(wire), data, len);
    chunk->used += size;
}

/* The next chunk to read from; none is left: spill->reading is NULL. */
static bool advance(struct spill *spill, struct err *err)
{
    free(TAKE(spill->reading));
    spill->reading_at = 0;
    if (spill->read_at < spill->write_at)
        return read_block(spill, &spill->reading, err);
    if (spill->chunks)
        spill->reading = take_first(spill);
    return true;
}

bool spill_next(struct spill *spill, const char **ret_data, size_t *ret_len, struct err *err)
{
    uint32_t wire = 0;
    *ret_data = NULL;
    *ret_len = 0;
    if ((!spill->reading || spill->reading_at == spill->reading->used) && !advance(spill, err))
        return false;
    const struct chunk *chunk = spill->reading;
    if (!chunk)
        return true;
    size_t left = chunk->used - spill->reading_at;
    if (left >= sizeof(wire))
        memcpy(&wire, chunk->data + spill->reading_at, sizeof(wire));
    if (left < sizeof(wire) || left - sizeof(wire) < wire)
        return damaged(spill, "a record is longer than its block", err);
    *ret_data = chunk->data + spill->reading_at + sizeof(wire);
    *ret_len = wire;
    spill->reading_at += sizeof(wire) + wire;
    return true;
}

/* --- lifetimes --- */

struct spill *spill_new(struct spill_store *store, const char *purpose)
{
    struct spill *spill = mem_alloc(sizeof(*spill));
    spill->store = store;
    spill->purpose = str_dup(purpose);
    spill->fd = -1;
    DL_APPEND(store->spills, spill);
    return spill;
}

void spill_free(struct spill **spill)
{
    struct spill *s = TAKE(*spill);
    if (!s)
        return;
    while (s->chunks)
        free(take_first(s));
    free(s->reading);
    if (s->fd >= 0)
        (void)close(s->fd);
    DL_DELETE(s->store->spills, s);
    free(s->purpose);
    free(s);
}

static const char *choose_dir(const char *dir)
{
    const char *temporary = getenv("TMPDIR");
    if (dir && *dir)
        return dir;
    return temporary && *temporary ? temporary : "/var/tmp";
}

bool spill_store_open(const struct spill_options *options, struct spill_store **ret_store,
                      struct err *err)
{
    AUTO(spill_store_free) struct spill_store *store = mem_alloc(sizeof(*store));
    int fd = -1;
    store->metrics = options->metrics;
    store->dir = str_dup(choose_dir(options->dir));
    store->max_memory = MAX_OF(options->memory_bytes, (size_t)CHUNK_BYTES);
    store->packer = ZSTD_createCCtx();
    store->unpacker = ZSTD_createDCtx();
    if (!store->packer || !store->unpacker)
        return err_set(err, ERR_FATAL, "could not prepare compression: out of memory");
    (void)ZSTD_CCtx_setParameter(store->packer, ZSTD_c_compressionLevel, LEVEL);
    (void)ZSTD_CCtx_setParameter(store->packer, ZSTD_c_checksumFlag, 1);
    store->buffer_size = ZSTD_CStreamOutSize();
    store->buffer = mem_alloc(store->buffer_size);
    if (make_file(store, "what has to wait", &fd, err))
        (void)close(fd);
    else if (!spill_is_full(err)) /* there may be room when it is needed */
        return false;
    *err = (struct err){0};
    *ret_store = TAKE(store);
    return true;
}

void spill_store_free(struct spill_store **store)
{
    struct spill_store *s = TAKE(*store);
    if (!s)
        return;
    (void)ZSTD_freeCCtx(s->packer);
    (void)ZSTD_freeDCtx(s->unpacker);
    free(s->buffer);
    free(s->dir);
    free(s);
}

const char *spill_store_dir(const struct spill_store *store)
{
    return store->dir;
}
