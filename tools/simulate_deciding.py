"""Make up comparisons, decide them by the sequential test of `--until-decided`, and write docs/deciding.md of it.

python tools/simulate_deciding.py [docs/deciding.md]
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from actfun._compare.statistics import Rounds
from actfun._report.formatting import markdown_table

SHAPES = ("normal", "heavy tails", "skewed", "shares of 360 rows")
COUNT, MOST = 2_000, 60
CASES = {  # means of scores in deviations of a seed's, and the band of what nobody would mind
    "2, the same": ([0.0, 0.0], 0.0),
    "2, on the edge of the band": ([0.0, -0.501], 0.5),
    "4, the same": ([0.0] * 4, 0.0),
    "8, the same": ([0.0] * 8, 0.0),
    "4, one worse by 3": ([0.0, 0.0, 0.0, -3.0], 0.5),
    "8, worse by 0 to 7": ([-float(k) for k in range(8)], 0.5),
    "4, all within a wide band": ([0.0, -0.1, -0.2, -0.1], 1.5),
}


@dataclass(frozen=True)
class Simulated:
    """Of many comparisons: the share in which anything that was said of a pair at any time was wrong, that in which all
    was decided, and the mean number of seeds of a candidate.
    """

    wrong: float
    decided: float
    seeds: float


def draws(shape: str, size: tuple[int, int], generator: numpy.random.Generator) -> numpy.ndarray:
    """Deviations of scores, with mean 0 and standard deviation 1."""
    if shape == "normal":
        return generator.normal(size=size)
    if shape == "heavy tails":
        return generator.standard_t(5, size=size) / numpy.sqrt(5 / 3)
    if shape == "skewed":
        return generator.exponential(size=size) - 1.0
    share, rows = 0.97, 360
    return (generator.binomial(rows, share, size=size) / rows - share) / numpy.sqrt(share * (1.0 - share) / rows)


def simulate(means: Sequence[float], same_within: float, count: int, shape: str = "normal", seed: int = 0) -> Simulated:
    """Compare candidates with these means, in deviations of a seed's score, `count` times."""
    generator, labels = numpy.random.default_rng(seed), [str(k) for k in range(len(means))]
    wrong = decided = used = 0
    for _ in range(count):
        scores = numpy.array(means) + draws(shape, (MOST, len(means)), generator)
        rounds, mistaken = Rounds(labels, range(MOST), True, same_within), False
        while rounds.undecided and (seeds := rounds.next_seeds()):
            used += len(seeds) * len(rounds.undecided)
            rounds.add({k: {s: float(scores[s, int(k)]) for s in seeds} for k in rounds.undecided})
            leader = next(k for k, one in rounds.found.items() if one.standing == "best")
            for label, one in rounds.found.items():
                difference = means[int(label)] - means[int(leader)]
                mistaken |= one.standing == "worse" and difference >= 0.0
                mistaken |= one.standing == "same" and abs(difference) > same_within
        wrong += mistaken
        decided += not rounds.undecided
    return Simulated(wrong / count, decided / count, used / count / len(means))


def main() -> None:
    """Simulate all, and write the page."""
    rows = []
    for case, (means, band) in CASES.items():
        found = [simulate(means, band, COUNT, shape) for shape in SHAPES]
        errors = [f"{one.wrong:.2%}" for one in found]
        rows.append([case, f"{band:g}", *errors, f"{found[0].decided:.0%}", f"{found[0].seeds:.1f}"])
        print(*rows[-1], file=sys.stderr)
    headings = ["candidates", "band", *(f"wrong, {shape}" for shape in SHAPES), "decided", "seeds a candidate"]
    columns = dict(zip(headings, map(list, zip(*rows, strict=True)), strict=True))
    text = f"""\
# Seeds until it is decided

Written by `python tools/simulate_deciding.py`: do not edit.

`actfun compare --until-decided` adds seeds in rounds until each candidate is worse than the best, or the same within
the band that nobody would mind. It looks at the scores after each round, so an interval for a fixed number of seeds
would be wrong too often. The interval here holds at all numbers of seeds at once: it has the means that a sequential
t-test does not reject (Wang and Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance, arXiv:2310.03722). Any two candidates may come to be compared, so each of the pairs has its share of the 5%.

In {COUNT:,} made-up comparisons a row, with at most {MOST} seeds: *wrong* is the share in which anything that was said
of a pair at any time was wrong, with deviations of four shapes. *Decided* and *seeds* are of normal ones. Means and
bands are in standard deviations of a seed's score; "the same" with a band of 0 can only be decided wrongly.

"""
    text += "\n".join(markdown_table(columns)) + "\n"
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/deciding.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
