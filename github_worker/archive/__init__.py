"""Archives: a gzip'd tar on its way to and from the disk; nothing here knows of sessions or stores."""
