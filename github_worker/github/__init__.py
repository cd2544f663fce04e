"""GitHub's REST API: a repository and its pull requests; `client` alone sends."""
