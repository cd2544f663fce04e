"""People who edit a session's files together, and commits of what they wrote once it has come to rest."""
