"""The worker process and its engines."""
