"""The batch form of the account fold equals the step form on random histories."""

import random

import numpy as np
import pytest

from tests.properties.account_cases import random_input, random_plan
from udfs import account_batch, account_fold


@pytest.mark.parametrize("seed", range(40))
def test_batch_equals_step(seed: int) -> None:
    rng = random.Random(seed)
    plan = random_plan(rng)
    given = random_input(rng, plan, rng.choice((3, 20, 60)))
    step = account_fold.fold(plan, given)
    batch = account_batch.fold(plan, given)
    assert batch is not None
    for name, expected in step._asdict().items():
        got = getattr(batch, name)
        if name == "fill_cost":
            np.testing.assert_allclose(got, expected, rtol=1e-12)
        elif isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(got, expected, err_msg=name)
        else:
            assert got == expected, name
