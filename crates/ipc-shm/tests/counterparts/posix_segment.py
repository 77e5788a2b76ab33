"""A program that knows nothing of us, for segments.rs: posix_ipc.

    create NAME BYTES TEXT   makes a segment
    read NAME                prints its size and the text from byte 4 on
    write NAME TEXT
    unlink NAME
"""

import mmap
import sys

import posix_ipc

verb, name, *rest = sys.argv[1:]
name = "/" + name
if verb == "unlink":
    posix_ipc.unlink_shared_memory(name)
    sys.exit()
if verb == "create":
    memory = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o640, size=int(rest.pop(0)))
else:
    memory = posix_ipc.SharedMemory(name)
with mmap.mmap(memory.fd, memory.size) as bytes_:
    memory.close_fd()
    if verb == "read":
        text = bytes_[4:].split(b"\0")[0].decode()
        print(f"{len(bytes_)} bytes: {text}")
    else:
        bytes_[4 : 4 + len(rest[0])] = rest[0].encode()
