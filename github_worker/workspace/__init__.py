"""What the operations share: steps on the repository in a session."""
