"""GitHub's APIs: a repository, its pull requests, what to wait for; `client` alone sends."""
