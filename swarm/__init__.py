"""Runs the service on a Docker Swarm of its own and measures it there; `scripts/test-swarm` starts it."""
