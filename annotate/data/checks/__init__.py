"""The rules of `partlab data check`, one module for each thing they look at."""
