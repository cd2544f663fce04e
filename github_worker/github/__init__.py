"""GitHub's REST API: building requests and deciphering answers is pure, `api` alone sends."""
