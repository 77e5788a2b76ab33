/* A program that knows nothing of us, for tests/counterparts.rs:
 *   queue create NAME MESSAGES BYTES    makes a queue
 *   queue send NAME PRIORITY TEXT ...   sends each text, with that priority
 *   queue receive NAME COUNT            prints "PRIORITY TEXT" of each message, as they come
 */
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int failed(const char *call)
{
    perror(call);
    return 1;
}

static int create(const char *name, long messages, long bytes)
{
    struct mq_attr attributes = {.mq_maxmsg = messages, .mq_msgsize = bytes};
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    return queue == (mqd_t)-1 ? failed("mq_open") : 0;
}

static int send_all(const char *name, unsigned priority, char **texts)
{
    mqd_t queue = mq_open(name, O_WRONLY);
    if (queue == (mqd_t)-1)
        return failed("mq_open");
    for (; *texts; texts++)
        if (mq_send(queue, *texts, strlen(*texts), priority) == -1)
            return failed("mq_send");
    return 0;
}

static int receive(const char *name, int count)
{
    mqd_t queue = mq_open(name, O_RDONLY);
    struct mq_attr attributes;
    if (queue == (mqd_t)-1)
        return failed("mq_open");
    if (mq_getattr(queue, &attributes) == -1)
        return failed("mq_getattr");
    char *buffer = malloc(attributes.mq_msgsize);
    while (buffer && count-- > 0) {
        unsigned priority;
        ssize_t length = mq_receive(queue, buffer, attributes.mq_msgsize, &priority);
        if (length == -1)
            return failed("mq_receive");
        printf("%u %.*s\n", priority, (int)length, buffer);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "create"))
        return create(argv[2], atol(argv[3]), atol(argv[4]));
    if (argc >= 5 && !strcmp(argv[1], "send"))
        return send_all(argv[2], (unsigned)atoi(argv[3]), argv + 4);
    if (argc == 4 && !strcmp(argv[1], "receive"))
        return receive(argv[2], atoi(argv[3]));
    fprintf(stderr, "usage: queue create|send|receive NAME ...\n");
    return 2;
}
