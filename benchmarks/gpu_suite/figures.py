"""Rates and shares, as the report shows them. Medians and their range: harness/figures.py."""


def rates(amount, milliseconds, unit):
    """Of each repeat, the largest last."""
    return sorted(amount / (1e-3 * time) / unit for time in milliseconds)


def percent(share, digits=0):
    return f"{100.0 * share:.{digits}f} %"
