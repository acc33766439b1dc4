"""Settings for all tests: hypothesis tries the same examples in every run, without a deadline for each."""

from hypothesis import settings

settings.register_profile("infsup", derandomize=True, deadline=None)
settings.load_profile("infsup")
