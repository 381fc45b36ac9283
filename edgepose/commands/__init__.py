"""Commands: one small file each."""


def count(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> count(1, "label"), count(2, "label"), count(0, "person", "people")
    ('1 label', '2 labels', '0 people')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
