"""The git room: the only package that imports pygit2."""
