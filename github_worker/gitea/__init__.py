"""The API of Gitea, which Forgejo has too: a repository, its pull requests, what to wait for."""
