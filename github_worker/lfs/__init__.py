"""git-lfs: pointers, the objects that they name, and the server that has those."""
