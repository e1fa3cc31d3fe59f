"""From measurements to verdicts, and how an experiment chooses: the rules, without running anything."""

import pytest
import torch

from actfun._claims import evidence, hidden_and_output
from actfun._claims.evidence import HOLDS, INCONCLUSIVE, ONLY_WHEN, REFUTED, exact, measure, ratios, verdict
from actfun._claims.experiment import best
from actfun._claims.hidden_and_output import calibration_error
from actfun._compare.problem import Split

FOR = exact("two calls", 1.0, 0.5, above=True, when="GELU itself")
AGAINST = exact("two calls", 0.0, 0.5, above=True, when="the stochastic form")
OPEN = measure("two calls", [0.0, 1.2], 0.5)


@pytest.mark.parametrize(
    ("rule", "measurements", "kind"),
    [
        ("every", [FOR, FOR], HOLDS),
        ("every", [FOR, AGAINST], REFUTED),
        ("every", [FOR, OPEN], INCONCLUSIVE),
        ("every", [OPEN, AGAINST], REFUTED),
        ("some", [FOR, AGAINST], HOLDS),
        ("some", [AGAINST, AGAINST], REFUTED),
        ("some", [OPEN, AGAINST], INCONCLUSIVE),
        ("conditions", [FOR, FOR], HOLDS),
        ("conditions", [FOR, AGAINST], ONLY_WHEN),
        ("conditions", [FOR, OPEN], INCONCLUSIVE),
        ("conditions", [FOR, OPEN, AGAINST], ONLY_WHEN),
        ("conditions", [AGAINST], REFUTED),
        ("conditions", [], INCONCLUSIVE),
    ],
)
def test_measurements_make_the_verdict(rule, measurements, kind):
    found = verdict(rule, measurements)
    assert found.kind == kind
    assert ("GELU itself" in found.text.en) == (kind == ONLY_WHEN)
    assert found.text.zh.startswith(evidence.VERDICTS[kind])


def test_a_figure_takes_sides_only_with_its_whole_interval():
    assert measure("two calls", [1.0, 1.1, 1.2], 0.5).side == "for"
    assert measure("two calls", [1.0, 1.1, 1.2], 0.5, above=False).side == "against"
    assert measure("two calls", [0.0, 1.0, 0.2], 0.5).side == "open"
    assert measure("two calls", [1.0], 0.5).side == "open", "one seed has no interval"
    assert measure("two calls", [1.0, 1.1, float("nan")], 0.5).side == "open", "a failed run proves nothing"
    assert exact("two calls", 0.5, 0.5).side == "against", "the threshold itself is not beyond it"


def test_a_figure_without_a_threshold_takes_no_side():
    beside = measure("two calls", [0.0, 5.0], None)
    assert beside.side == "beside"
    assert evidence.as_record(beside)["claimed"] == ""
    for rule in ("every", "some", "conditions"):
        assert verdict(rule, [FOR, beside]).kind == HOLDS
        assert verdict(rule, [AGAINST, beside]).kind == REFUTED
        assert verdict(rule, [beside]).kind == INCONCLUSIVE


def test_ratios_are_the_same_whichever_stands_below():
    over = ratios("two calls", [1.0, 4.0, 2.0], [2.0, 2.0, 1.0], 1.0)
    under = ratios("two calls", [2.0, 2.0, 1.0], [1.0, 4.0, 2.0], 1.0)
    assert over.value == pytest.approx(2.0 ** (1 / 3))
    assert (1.0 / under.value, 1.0 / under.high) == (pytest.approx(over.value), pytest.approx(over.low))
    assert ratios("two calls", [1.0, float("nan")], [1.0, 1.0], 0.5).side == "open"


def test_it_tells_how_many_more_seeds_it_would_take():
    wide = measure("two calls", [0.0, 1.0, 2.0, 1.4], 0.5)
    assert wide.side == "open"
    assert wide.more_seeds >= 1
    assert "more seeds" in verdict("every", [wide]).text.en
    assert measure("two calls", [0.5, 0.5], 0.5).more_seeds is None


def test_no_failed_run_chooses_a_rate():
    rows = [{"rate": rate, "seed": seed, "loss": rate} for rate in (0.1, 0.2, 0.3) for seed in (0, 1)]
    assert best(rows, "loss") == 0.1
    assert best(rows, "loss", largest=True) == 0.3
    del rows[0]["loss"], rows[-1]["loss"]
    assert best(rows, "loss") == best(rows, "loss", largest=True) == 0.2


def test_a_condition_is_met_if_all_its_measurements_speak_for_it():
    mixed = [FOR, exact("two calls", 0.0, 0.5, above=True, when="GELU itself"), AGAINST]
    assert verdict("conditions", mixed).kind == REFUTED
    assert verdict("conditions", [*mixed, OPEN]).kind == INCONCLUSIVE
    third = exact("two calls", 1.0, 0.5, above=True, when="any number")
    assert verdict("conditions", [*mixed, third]).conditions == (third.text("any number"),)
    assert (
        "undecided"
        in verdict("conditions", [FOR, AGAINST, measure("two calls", [0.0, 1.2], 0.5, when="any number")]).text.en
    )


def test_folds_test_every_row_once():
    numbered = torch.arange(103.0)
    third = [(torch.randn(len(rows), 2), rows) for rows in numbered.split([60, 20, 23])]
    parts = hidden_and_output.folds(Split(third[0], third[1], third[2], 1), 0)
    assert torch.equal(torch.cat([split.test[1] for split in parts]).sort().values, numbered)
    for k, split in enumerate(parts):
        rows = torch.cat([part[1] for part in (split.train, split.validation, split.test)])
        assert torch.equal(rows.sort().values, numbered)
        assert torch.equal(split.validation[1], parts[(k + 1) % hidden_and_output.FOLDS].test[1])


def test_validation_rows_choose_the_rate_of_a_fold(monkeypatch):
    def trained(split, hidden, output, rate, noise, seed):
        return {"validation": abs(rate - 0.2), "loss": rate}

    monkeypatch.setattr(hidden_and_output, "_train", trained)
    assert hidden_and_output.run("tanh", "sigmoid", (0.1, 0.2, 0.3), 0.0, 2, 0)["loss"] == pytest.approx(0.2)


def test_calibration_error_is_that_of_its_definition():
    p = torch.tensor([0.95, 0.95, 0.95, 0.95])
    assert calibration_error(p, torch.tensor([1.0, 1.0, 1.0, 1.0])) == pytest.approx(0.05)
    assert calibration_error(p, torch.tensor([1.0, 1.0, 0.0, 0.0])) == pytest.approx(0.45)
    assert calibration_error(torch.tensor([0.1, 0.9]), torch.tensor([0.0, 1.0])) == pytest.approx(0.1)
