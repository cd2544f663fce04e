"""The client of GitHub Worker."""
