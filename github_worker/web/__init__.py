"""HTTP: routes, the event stream, the server, the description of the API."""
