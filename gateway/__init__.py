"""The HTTP side: translates OpenAI calls into jobs."""
