"""What every worker that codes shares: an agent in a folder, and a task from a request to a pull request."""
