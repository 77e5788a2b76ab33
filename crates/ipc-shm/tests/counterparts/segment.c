/* A program that knows nothing of us, for segments.rs. Its segments begin with a word that counts, then
 * comes text:
 *   segment create NAME BYTES TEXT   makes a segment
 *   segment read NAME                prints its size, its mode, and the text
 *   segment count NAME TIMES         adds 1 to the word, so many times
 *   segment unlink NAME
 */
#include <fcntl.h>
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

static int failed(const char *call)
{
    perror(call);
    exit(1);
}

/* Attaches; with a size, makes the segment first. */
static struct segment *attach(const char *name, off_t new_size, struct stat *status)
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
        strcpy(attach(name, atol(arguments[3]), &status)->text, arguments[4]);
    } else if (!strcmp(verb, "read")) {
        struct segment *segment = attach(name, 0, &status);
        printf("%ld bytes, mode %o: %s\n", (long)status.st_size, status.st_mode & 0777, segment->text);
    } else if (!strcmp(verb, "count") && count == 4) {
        struct segment *segment = attach(name, 0, &status);
        for (long times = atol(arguments[3]); times > 0; times--)
            atomic_fetch_add(&segment->count, 1);
    } else if (!strcmp(verb, "unlink")) {
        if (shm_unlink(name) == -1)
            failed("shm_unlink");
    } else {
        return 2;
    }
    return 0;
}
