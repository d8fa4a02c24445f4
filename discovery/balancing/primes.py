"""Prime numbers, for a table whose size must be one."""

from itertools import count


def is_prime(number: int) -> bool:
    """Whether it has no divisor but 1 and itself; by trial division, which is quick up to some 10^12."""
    if number < 4:
        return number > 1
    if number % 2 == 0:
        return False
    divisor = 3
    while divisor * divisor <= number:
        if number % divisor == 0:
            return False
        divisor += 2
    return True


def next_prime(number: int) -> int:
    """The least prime that is not below `number`."""
    return next(candidate for candidate in count(number) if is_prime(candidate))
