"""Makes those of the documentation's pages that nobody writes, for `scripts/docs`."""
