"""Which names a name may mean: an absolute one itself, a relative one by the search list. Pure."""

from .resolv_conf import ResolvConf

LONGEST_NAME = 253


def candidates(name: str, conf: ResolvConf) -> tuple[str, ...]:
    """The absolute names to look up, in their order, without their last dots.

    A name that ends with a dot is absolute. With `ndots` dots or more a relative one is first tried as it is, with
    fewer last of all. Those that are too long to exist are left out, but for the name itself.
    """
    if name.endswith("."):
        return (name[:-1],)
    longer = [f"{name}.{domain}" for domain in conf.search]
    searched = [one for one in longer if len(one) <= LONGEST_NAME]
    found = [name, *searched] if name.count(".") >= conf.ndots else [*searched, name]
    return tuple(dict.fromkeys(found))
