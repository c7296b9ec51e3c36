from python_fixtures import callers, center, home, rhodes, stage, time_limit  # noqa: F401
