"""The supervisor: config, queue, scheduling decisions, instance lifecycle, OS processes, command line."""
