"""Runs a program on a machine of its own: `inside.py PORT SOCKET HIDDEN PROGRAM...`, in new namespaces.

There is no network but a loopback, on which PORT leads, through SOCKET, to the server that stands for AWS;
and HIDDEN, the folder with zave's sources, is empty. Standard library alone: nothing else can be seen.
"""

import fcntl
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def main(port: int, server: str, hidden: str, *argv: str) -> int:
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", hidden], check=True)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    threading.Thread(target=forward, args=(listener, socket.AF_UNIX, server), daemon=True).start()
    return subprocess.run(argv, check=False).returncode


def forward(listener: socket.socket, family: int, address: Any) -> None:
    """Join each connection that `listener` gets to one to `address`, until it is shut down."""
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=join, args=(near, family, address), daemon=True).start()


def join(near: socket.socket, family: int, address: Any) -> None:
    """Pass on what either side says, until both are done."""
    with near, socket.socket(family) as far:
        far.connect(address)
        back = threading.Thread(target=pump, args=(far, near), daemon=True)
        back.start()
        pump(near, far)
        back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """One direction."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side hung up first


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
