"""A file for each page; `app.web` says how one is written."""
