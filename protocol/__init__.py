"""What crosses a process boundary: jobs, events, control calls, errors, the wire format and the client."""
