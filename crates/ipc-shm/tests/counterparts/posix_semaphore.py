"""A program that knows nothing of us, for semaphores.rs; see semaphore.c for its words."""

import sys

import posix_ipc

verb, name = sys.argv[1:3]
number = int(sys.argv[3]) if len(sys.argv) > 3 else 0

if verb == "create":
    posix_ipc.Semaphore(name, posix_ipc.O_CREX, mode=0o600, initial_value=number).close()
elif verb == "unlink":
    posix_ipc.unlink_semaphore(name)
else:
    semaphore = posix_ipc.Semaphore(name)
    if verb == "value":
        print(semaphore.value)
    for _ in range(number):
        if verb == "wait":
            semaphore.acquire()
        elif verb == "post":
            semaphore.release()
    semaphore.close()
