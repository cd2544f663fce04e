"""The commands for people: a job run by hand, the sessions, what works and what does not."""
