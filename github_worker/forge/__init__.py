"""What pull requests are on every forge: the interface, the steps over it; `client` alone sends."""
