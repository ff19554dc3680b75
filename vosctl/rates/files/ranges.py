"""A range of prefixes as the fewest prefixes that cover it."""

from __future__ import annotations


def cover(first: str, last: str) -> tuple[str, ...]:
    """Return the smallest set of prefixes of the numbers that begin with ``first`` to ``last``, in order.

    Both have equally many digits, as 4470 and 4475; all ten in a row become the one above them, up to
    "" for 0 to 9. Raises ValueError where ``last`` comes before ``first``, or lengths differ.
    """
    digits = len(first)
    low, high = int(first), int(last)
    if digits != len(last) or low > high:
        raise ValueError(f"{first}-{last} is no range")
    found = []
    while low <= high:
        zeros = 0
        while zeros < digits and low % 10 ** (zeros + 1) == 0 and low + 10 ** (zeros + 1) - 1 <= high:
            zeros += 1
        left = digits - zeros
        found.append(f"{low // 10**zeros:0{left}d}" if left else "")
        low += 10**zeros
    return tuple(found)
