/* A program that knows nothing of us, for segments.rs. Its segments begin with a word that counts, then
 * comes text:
 *   segment create NAME BYTES TEXT   makes a segment
 *   segment read NAME                prints its size, its mode, and the text
 *   segment count NAME TIMES         adds 1 to the word, so many times
 *   segment unlink NAME
 *   segment region NAME              prints the header of a region, and adds 1 to the word after it
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct segment {
    _Atomic unsigned count;
    char text[];
};

/* What src/region/header.rs documents. */
struct region {
    char magic[8];
    uint32_t byte_order;
    uint32_t version;
    uint64_t layout_hash;
    uint64_t size;
    uint64_t length;
    char unused[24];
    _Atomic uint64_t value;
};

static int failed(const char *call)
{
    perror(call);
    exit(1);
}

/* Attaches; with a size, makes the segment first. */
static void *attach(const char *name, off_t new_size, struct stat *status)
{
    int file = shm_open(name, new_size ? O_CREAT | O_EXCL | O_RDWR : O_RDWR, 0640);
    if (file == -1)
        failed("shm_open");
    if (new_size && ftruncate(file, new_size) == -1)
        failed("ftruncate");
    if (fstat(file, status) == -1)
        failed("fstat");
    void *memory = mmap(NULL, status->st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        failed("mmap");
    close(file);
    return memory;
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    const char *verb = arguments[1], *name = arguments[2];
    struct stat status;
    if (!strcmp(verb, "create") && count == 5) {
        struct segment *segment = attach(name, atol(arguments[3]), &status);
        strcpy(segment->text, arguments[4]);
    } else if (!strcmp(verb, "read")) {
        struct segment *segment = attach(name, 0, &status);
        printf("%ld bytes, mode %o: %s\n", (long)status.st_size, status.st_mode & 0777, segment->text);
    } else if (!strcmp(verb, "count") && count == 4) {
        struct segment *segment = attach(name, 0, &status);
        for (long times = atol(arguments[3]); times > 0; times--)
            atomic_fetch_add(&segment->count, 1);
    } else if (!strcmp(verb, "region")) {
        struct region *region = attach(name, 0, &status);
        printf("%s %#" PRIx32 " %" PRIu32 " %#" PRIx64 " %" PRIu64 " %" PRIu64 "\n", region->magic,
               region->byte_order, region->version, region->layout_hash, region->size, region->length);
        atomic_fetch_add(&region->value, 1);
    } else if (!strcmp(verb, "unlink")) {
        if (shm_unlink(name) == -1)
            failed("shm_unlink");
    } else {
        return 2;
    }
    return 0;
}
