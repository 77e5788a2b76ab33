/* A program that knows nothing of us, for semaphores.rs:
 *   semaphore create NAME COUNT    makes a semaphore
 *   semaphore value NAME           prints the count
 *   semaphore wait NAME TIMES      takes units, waiting for each
 *   semaphore post NAME TIMES      gives units
 *   semaphore unlink NAME
 */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *call)
{
    perror(call);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *verb = argv[1];
    long number = argc > 3 ? atol(argv[3]) : 0;
    if (!strcmp(verb, "unlink"))
        return sem_unlink(argv[2]) == -1 ? failed("sem_unlink") : 0;
    sem_t *semaphore = !strcmp(verb, "create")
                           ? sem_open(argv[2], O_CREAT | O_EXCL, 0600, (unsigned)number)
                           : sem_open(argv[2], 0);
    if (semaphore == SEM_FAILED)
        return failed("sem_open");
    if (!strcmp(verb, "value")) {
        int value;
        if (sem_getvalue(semaphore, &value) == -1)
            return failed("sem_getvalue");
        printf("%d\n", value);
    }
    if (!strcmp(verb, "wait"))
        for (; number > 0; number--)
            if (sem_wait(semaphore) == -1)
                return failed("sem_wait");
    if (!strcmp(verb, "post"))
        for (; number > 0; number--)
            if (sem_post(semaphore) == -1)
                return failed("sem_post");
    return sem_close(semaphore) == -1 ? failed("sem_close") : 0;
}
