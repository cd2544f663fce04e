"""Workers that claim orders from a queue, ask when they do not know, and report."""
