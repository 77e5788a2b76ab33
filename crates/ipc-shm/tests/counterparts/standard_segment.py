"""A program that knows nothing of us, for segments.rs: multiprocessing.shared_memory.

    create NAME BYTES TEXT   makes a segment
    read NAME                prints its size and the text from byte 4 on
    write NAME TEXT
    unlink NAME
"""

import sys
from multiprocessing import resource_tracker, shared_memory


def attach(name, **new):
    """Before Python 3.13, a process that ends removes every segment it ever attached to."""
    if sys.version_info >= (3, 13):
        return shared_memory.SharedMemory(name, track=False, **new)
    memory = shared_memory.SharedMemory(name, **new)
    resource_tracker.unregister(memory._name, "shared_memory")
    return memory


verb, name, *rest = sys.argv[1:]
if verb == "create":
    size, text = rest
    memory = attach(name, create=True, size=int(size))
    memory.buf[4 : 4 + len(text)] = text.encode()
elif verb == "read":
    memory = attach(name)
    text = bytes(memory.buf[4:]).split(b"\0")[0].decode()
    print(f"{memory.size} bytes: {text}")
elif verb == "write":
    memory = attach(name)
    memory.buf[4 : 4 + len(rest[0])] = rest[0].encode()
elif verb == "unlink":
    memory = shared_memory.SharedMemory(name)
    memory.unlink()
memory.close()
