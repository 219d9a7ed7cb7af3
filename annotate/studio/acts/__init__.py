"""What is done with a server: handing out, suggesting, pulling, changing hands and words."""
