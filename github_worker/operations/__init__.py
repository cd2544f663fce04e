"""One module an endpoint, one story each."""
