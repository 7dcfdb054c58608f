/* Many files in one call: the heads of a series, and rows of its pixels.  What is not as expected is left to Python,
 * which says what it is; nothing here holds Python's lock.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_compiled.h"

typedef struct {
    Files files;
    const char *before, *behind; /* the stamp, in the head of the frame that was walked */
    int64_t n_before, n_stamp, n_behind, size;
    int64_t *mtimes;
    char *stamps;
} Heads;

#ifdef _WIN32
int reader_begin(Reader *reader, const Rows *rows) { return (void)reader, (void)rows, -1; }
int reader_next(Reader *reader, char *out) { return (void)reader, (void)out, 0; }
void reader_end(Reader *reader) { (void)reader; }
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

int reader_begin(Reader *reader, const Rows *rows) {
    int folder = open(rows->files.folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    *reader = (Reader){.rows = rows, .name = rows->files.names, .folder = folder};
    if (folder >= 0 && rows->kept < rows->row) reader->whole = malloc((size_t)rows->bytes); /* it stays in the cache */
    return folder < 0 ? -1 : 0;
}

int reader_next(Reader *reader, char *out) {
    const Rows *r = reader->rows;
    int64_t i = reader->next++;
    struct stat status;
    char *to = r->kept < r->row ? reader->whole : out;
    int done = 0, fd = openat(reader->folder, reader->name, HOW);
    reader->name += strlen(reader->name) + 1;
    if (fd < 0) return 0;
    if (to && !fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_size == r->sizes[i] && mtime_of(&status) == r->mtimes[i])
        done = filled(fd, to, r->bytes, r->offsets[i] + r->skip);
    close(fd);
    for (int64_t y = 0; done && to != out && y < r->bytes / r->row; y++)
        for (int64_t s = 0; s < 2 * r->n_spans; out += r->spans[s + 1], s += 2)
            memcpy(out, to + y * r->row + r->spans[s], (size_t)r->spans[s + 1]);
    return done;
}

void reader_end(Reader *reader) {
    free(reader->whole);
    close(reader->folder);
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

/* Rows of each file's pixels, one file behind the other; returns 0, or -1 where the folder cannot be opened. */
PUBLIC int xinsitu_read_rows(const Rows *r) {
    Reader reader;
    if (reader_begin(&reader, r)) return -1;
    for (int64_t i = 0; i < r->files.count; i++)
        r->files.left[i] = !reader_next(&reader, r->out + i * (r->bytes / r->row) * r->kept);
    reader_end(&reader);
    return 0;
}
