"""What a person touches: the command line and, later, the web pages and the server."""
