"""How many random requests each fuzzing test makes: the same few in every run of the suite, or a campaign.

`EXAMPLES=20000 ./dev test tests/api/test_openapi.py` makes that many new ones, and prints how to repeat a failure.
"""

import os

from hypothesis import HealthCheck, settings

CAMPAIGN = os.environ.get("EXAMPLES")


def examples(usual: int) -> settings:
    """Settings for a test that makes this many requests in the suite."""
    return settings(
        max_examples=int(CAMPAIGN or usual),
        deadline=None,
        # The same examples in every run, so that a red run is red again.
        derandomize=CAMPAIGN is None,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
