"""Listens at an address, or says in words why it cannot be had."""

from __future__ import annotations

import errno
import socket

from github_worker.errors import GitHubWorkerError

_BACKLOG = 2048
_NO_FAMILY = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # as for ::1 where there is no IPv6


class CannotListen(GitHubWorkerError):
    """HOST and PORT cannot be had; the message names the one to change."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen at every address that `host` stands for; raise CannotListen."""
    listeners, errors = [], []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(explain(host, port, error)) from error
    for family, address in dict.fromkeys((one[0], one[4]) for one in found):
        try:
            listeners.append(socket.create_server(address, family=family, backlog=_BACKLOG))
        except OSError as error:
            errors.append(error)
    if fatal := [one for one in errors if not listeners or one.errno not in _NO_FAMILY]:
        for listener in listeners:
            listener.close()
        raise CannotListen(explain(host, port, fatal[0])) from fatal[0]
    return listeners


def explain(host: str, port: int, error: OSError, variable: str = "PORT") -> str:
    """Say why nothing can listen at an address, and what to set instead."""
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{variable} {port} is taken: another program listens on it; end that one or set {variable}"
                " to another"
            )
        case errno.EACCES | errno.EPERM:
            return f"{variable} {port} is not for this user to listen on; set {variable} to one above 1023"
        case errno.EADDRNOTAVAIL:
            reason = "is no address of this machine"
        case int(number) if number < 0:  # getaddrinfo's
            reason = "is no address, and no name that leads to one"
        case _:
            return f"HOST {host} and {variable} {port} cannot be listened on: {error.strerror}"
    return f"HOST {host} {reason}; set HOST to 127.0.0.1 or, for other machines too, 0.0.0.0"
