"""Medians with their range."""

import statistics


def median(values):
    return statistics.median(values)


def spread(values, digits=0, unit=""):
    """'12.3 (11.9 - 12.8)': the median, and the range where there is more than one value."""
    text = f"{median(values):,.{digits}f}{unit}"
    if len(values) == 1:
        return text
    return f"{text} ({min(values):,.{digits}f} - {max(values):,.{digits}f})"


def percent(shares, digits=0):
    return spread([100.0 * share for share in shares], digits, " %")
