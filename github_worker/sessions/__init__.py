"""Sessions: archives of a repository and its surroundings, and the stores that keep them."""
