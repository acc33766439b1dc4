"""Tool calls: what a request declares, how models write calls, and how they are read and forced."""
