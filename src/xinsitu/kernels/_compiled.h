/* What all compiled kernels have in common. */
#ifndef XINSITU_COMPILED
#define XINSITU_COMPILED

#include <stdint.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif
#ifdef _WIN32
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Files that are read in one call.  The same fields in the same order stand in native.py, as those of Rows. */
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

/* Goes through the files, one after the other. */
typedef struct {
    const Rows *rows;
    const char *name;
    char *whole; /* rows of one file, of which some columns are wanted */
    int64_t next;
    int folder;
} Reader;

int reader_begin(Reader *reader, const Rows *rows); /* 0, or -1 where the folder cannot be opened */
int reader_next(Reader *reader, char *out);         /* whether the rows of the next file are there, as at opening */
void reader_end(Reader *reader);

#endif
