"""Outlier detection: who fails so often that it must not be picked for a while, and how it comes back.

`spec` is what a user says, `rates` the statistics of an interval, `probe` the one request that a backend is tried with,
`ejection` what is known of one that is out, `ejections` of all of them, `detector` the rules.

To pick among those that are left, and from all in panic, is the pool's. Whether a backend is ready is discovery's:
nothing here brings back one that discovery has taken away.
"""

from .detector import Detector
from .ejection import Ejection
from .probe import Probe
from .spec import OutlierDetection

__all__ = ["Detector", "Ejection", "OutlierDetection", "Probe"]
