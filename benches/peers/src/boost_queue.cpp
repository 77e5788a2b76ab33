// What src/boost.rs calls: boost::interprocess::message_queue without exceptions, for C.
// Every function returns 1 for "done", 0 for "no room" or "no message", -1 for an error, whose text is
// then in `why`.

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>

using boost::interprocess::message_queue;

namespace {

constexpr std::size_t why_bytes = 256;

template <class Act>
int guarded(char *why, Act act) {
    try {
        return act() ? 1 : 0;
    } catch (const std::exception &error) {
        std::snprintf(why, why_bytes, "%s", error.what());
        return -1;
    }
}

}  // namespace

extern "C" {

int peer_queue_create(const char *name, std::size_t messages, std::size_t message_bytes,
                      message_queue **queue, char *why) {
    return guarded(why, [&] {
        namespace bi = boost::interprocess;
        *queue = new message_queue(bi::create_only, name, messages, message_bytes);
        return true;
    });
}

int peer_queue_open(const char *name, message_queue **queue, char *why) {
    return guarded(why, [&] {
        *queue = new message_queue(boost::interprocess::open_only, name);
        return true;
    });
}

void peer_queue_close(message_queue *queue) { delete queue; }

int peer_queue_remove(const char *name) { return message_queue::remove(name) ? 1 : 0; }

int peer_queue_try_send(message_queue *queue, const void *message, std::size_t len, char *why) {
    return guarded(why, [&] { return queue->try_send(message, len, 0); });
}

int peer_queue_send(message_queue *queue, const void *message, std::size_t len, char *why) {
    return guarded(why, [&] { return queue->send(message, len, 0), true; });
}

int peer_queue_try_receive(message_queue *queue, void *buffer, std::size_t room, std::size_t *len,
                           char *why) {
    unsigned priority = 0;
    return guarded(why, [&] { return queue->try_receive(buffer, room, *len, priority); });
}

int peer_queue_receive(message_queue *queue, void *buffer, std::size_t room, std::size_t *len,
                       char *why) {
    unsigned priority = 0;
    return guarded(why, [&] { return queue->receive(buffer, room, *len, priority), true; });
}

}  // extern "C"
