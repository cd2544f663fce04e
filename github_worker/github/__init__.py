"""GitHub's REST API: requests and responses are pure, `client` alone sends."""
