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

/* Vectors of 32 bytes: of longer ones GCC takes comparisons apart, pixel by pixel, where it has no AVX-512. */
typedef double Four __attribute__((vector_size(32)));
typedef Four Near __attribute__((aligned(8), may_alias)); /* anywhere in a row */
typedef int64_t FourBits __attribute__((vector_size(32)));
typedef FourBits NearBits __attribute__((aligned(8), may_alias));
#define AT(p) (*(const Near *)(p))
#define LANES 16
#define QUARTERS 4 /* of the lanes, four in each */
#define INLINE static inline __attribute__((always_inline))
#define HIGHER(one, top, Vector, Bits)                                                                                 \
    do {                                                                                                               \
        Vector here_ = (one);                                                                                          \
        Bits above_ = here_ > (top);                                                                                   \
        (top) = (Vector)(((Bits)here_ & above_) | ((Bits)(top) & ~above_));                                            \
    } while (0)

/* All lanes: 0 to 7 and 8 to 15, then by halves. */
INLINE double together(const Four *lanes) {
    Four all = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
    return (all[0] + all[2]) + (all[1] + all[3]);
}

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
