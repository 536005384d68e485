"""One module a part. Each has TITLE and run(settings, report)."""
