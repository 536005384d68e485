"""Medians with their range, as the report shows them."""

import statistics


def median(values):
    return statistics.median(values)


def spread(values, digits=0):
    """'12.3 (11.9 - 12.8)': the median, and the range where there is more than one value."""
    text = f"{median(values):,.{digits}f}"
    if len(values) == 1:
        return text
    return f"{text} ({min(values):,.{digits}f} - {max(values):,.{digits}f})"


def rates(amount, milliseconds, unit):
    """Of each repeat, the largest last."""
    return sorted(amount / (1e-3 * time) / unit for time in milliseconds)


def percent(share, digits=0):
    return f"{100.0 * share:.{digits}f} %"
