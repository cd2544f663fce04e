"""Stand-ins for what the service talks to: real sockets, real processes, the real git."""
