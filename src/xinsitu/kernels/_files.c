/* Many files in one call: the heads of a series, and rows of its pixels.  What is not as expected is left to Python,
 * which says what it is; nothing here holds Python's lock.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_compiled.h"

typedef struct {
    const char *folder, *names; /* one behind the other, each with a 0 at its end */
    int64_t count;
    uint8_t *left;              /* files that are left to Python */
} Files;

typedef struct {
    Files files;
    const int64_t *sizes, *mtimes, *offsets; /* as at opening; byte of the first pixel */
    int64_t skip, bytes;                     /* to the first row that is wanted, and of all rows */
    int64_t row, kept;                       /* bytes of a row, and of the columns in it that are wanted */
    const int64_t *spans;                    /* of these columns: bytes before some of them, and of them */
    int64_t n_spans;
    char *out;
} Rows;

typedef struct {
    Files files;
    const char *before, *behind; /* the stamp, in the head of the frame that was walked */
    int64_t n_before, n_stamp, n_behind, size;
    int64_t *mtimes;
    char *stamps;
} Heads;

#ifdef _WIN32
PUBLIC int xinsitu_read_rows(const Rows *r) { return (void)r, -1; }
PUBLIC int xinsitu_read_heads(const Heads *h) { return (void)h, -1; }
#else
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#define MTIME st_mtimespec
#else
#define MTIME st_mtim
#endif
#define HOW (O_RDONLY | O_CLOEXEC | O_NONBLOCK) /* a pipe that bears the name of a frame would wait for ever */
#define HEAD 4096

static int64_t mtime_of(const struct stat *status) {
    return (int64_t)status->MTIME.tv_sec * 1000000000 + status->MTIME.tv_nsec;
}

static int filled(int fd, char *out, int64_t bytes, int64_t place) {
    while (bytes > 0) {
        ssize_t got = pread(fd, out, (size_t)bytes, (off_t)place);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        out += got, place += got, bytes -= got;
    }
    return 1;
}

/* Rows of each file's pixels, one file behind the other; returns 0, or -1 where the folder cannot be opened. */
PUBLIC int xinsitu_read_rows(const Rows *r) {
    int folder = open(r->files.folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (folder < 0) return -1;
    const char *name = r->files.names;
    int64_t rows = r->bytes / r->row;
    char *whole = r->kept < r->row ? malloc((size_t)r->bytes) : NULL; /* of one file, while it is in the cache */
    for (int64_t i = 0; i < r->files.count; i++, name += strlen(name) + 1) {
        struct stat status;
        char *out = r->out + i * rows * r->kept, *to = r->kept < r->row ? whole : out;
        int fd = openat(folder, name, HOW);
        r->files.left[i] = 1;
        if (fd < 0) continue;
        if (to && !fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_size == r->sizes[i] && mtime_of(&status) == r->mtimes[i])
            r->files.left[i] = !filled(fd, to, r->bytes, r->offsets[i] + r->skip);
        for (int64_t y = 0; whole && !r->files.left[i] && y < rows; y++)
            for (int64_t s = 0; s < 2 * r->n_spans; out += r->spans[s + 1], s += 2)
                memcpy(out, whole + y * r->row + r->spans[s], (size_t)r->spans[s + 1]);
        close(fd);
    }
    free(whole);
    close(folder);
    return 0;
}

/* Stamps of files whose heads are one but for the stamp, and which are whole on the disc. */
PUBLIC int xinsitu_read_heads(const Heads *h) {
    int folder = open(h->files.folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (folder < 0) return -1;
    const char *name = h->files.names;
    char head[HEAD];
    int64_t whole = h->n_before + h->n_stamp + h->n_behind;
    for (int64_t i = 0; i < h->files.count; i++, name += strlen(name) + 1) {
        struct stat status;
        int fd = openat(folder, name, HOW);
        h->files.left[i] = 1;
        if (fd < 0) continue;
        if (!fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_size == h->size
            && (int64_t)status.st_blocks * 512 >= status.st_size && whole <= HEAD && filled(fd, head, whole, 0)
            && !memcmp(head, h->before, (size_t)h->n_before)
            && !memcmp(head + h->n_before + h->n_stamp, h->behind, (size_t)h->n_behind)) {
            memcpy(h->stamps + i * h->n_stamp, head + h->n_before, (size_t)h->n_stamp);
            h->mtimes[i] = mtime_of(&status);
            h->files.left[i] = 0;
        }
        close(fd);
    }
    close(folder);
    return 0;
}
#endif
