"""Bots that take tasks from a Kanban board, each task by one of them."""
