"""All that needs a GPU, in one command: parity, repeats, sanitizer, tables, a training run, profiles."""
