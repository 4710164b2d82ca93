"""The Asian option: its closed forms, and its simulation."""

import math
from pathlib import Path

import pytest

from examples.price_options import Option

from .running import run


def test_with_one_day_the_averages_are_the_share() -> None:
    """Then all is the formula of Black and Scholes (1973), here evaluated by hand."""
    option = Option(days=1)
    assert option.geometric_price() == pytest.approx(14.2312, abs=1e-4)
    assert option.geometric_price() == pytest.approx(option.highest_price(), rel=1e-12)


def test_an_average_is_worth_less_than_its_share() -> None:
    prices = [Option(days=days).geometric_price() for days in (1, 2, 10, 50, 1000)]
    assert prices == sorted(prices, reverse=True)
    assert Option().geometric_price() < Option().highest_price() < prices[0]


def test_without_volatility_it_pays_what_is_certain() -> None:
    option = Option(volatility=1e-9, days=2, strike=90)
    discount, middle, end = math.exp(-0.05), 100 * math.exp(0.025), 100 * math.exp(0.05)
    geometric = discount * (math.sqrt(middle * end) - 90)
    assert option.geometric_price() == pytest.approx(geometric, rel=1e-9)
    assert option.highest_price() == pytest.approx(discount * ((middle + end) / 2 - 90), rel=1e-9)


def test_it_converges_on_the_known_value_in_whatever_order_results_come(tmp_path: Path) -> None:
    arguments = ("--seeds=200",)
    outputs = [
        run(tmp_path, "price_options", *arguments, f"--backend={backend}")
        for backend in ("local://?processes=2", "local://?processes=1", "inline://")
    ]
    ends = {output.partition("geometric")[2] for output in outputs}
    assert len(ends) == 1  # the running estimates may differ, the results don't
    (end,) = ends
    assert "checked: within 4 standard errors" in end
    errors = [float(line.split()[-1]) for line in outputs[0].splitlines() if " seeds: " in line]
    assert len(errors) == 10
    assert errors[-1] < errors[0]
