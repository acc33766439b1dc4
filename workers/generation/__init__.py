"""What text engines share: parameters, sampling, stop strings, templates, streaming of bytes as text."""
