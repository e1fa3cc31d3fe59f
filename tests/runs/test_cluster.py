"""Jobs on a Ray cluster of two nodes on loopback: the same scores, and a node that is lost costs its jobs only."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

import actfun as af
from actfun._runs.cluster import Cluster
from actfun._runs.executors import Inline
from actfun._runs.job import Job

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Ray


@dataclass(frozen=True)
class Waits(Job):
    """Says when it runs, and waits for a while; `kills` ends its own process the first time."""

    studies: ClassVar[tuple[str, ...]] = ("_compare",)

    number: int
    folder: str
    kills: bool = False

    @property
    def label(self) -> str:
        return f"number {self.number}"

    def run(self) -> dict[str, object]:
        path = Path(self.folder) / str(self.number)
        first = not path.exists()
        path.write_text("runs")
        if self.kills and first:
            os._exit(1)
        time.sleep(1.5)
        return {"number": self.number, "process": os.getpid()}


@pytest.fixture
def nodes(monkeypatch):
    """Two nodes with a core each, on loopback."""
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the nodes find the jobs' class
    from ray.cluster_utils import Cluster as Nodes

    found = Nodes(initialize_head=True, head_node_args={"num_cpus": 1})
    found.add_node(num_cpus=1)
    yield found
    import ray

    ray.shutdown()
    found.shutdown()


def do(cluster: Cluster, jobs: list[Waits], meanwhile=lambda records: None) -> dict[int, dict]:
    records: dict[int, dict] = {}

    def finished(job: Waits, record: dict) -> None:
        assert job.number not in records
        records[job.number] = record
        meanwhile(records)

    cluster.run(jobs, lambda running: None, finished)
    return records


def test_scores_are_those_of_this_process(nodes):
    options = {"activations": ["relu", "tanh"], "seeds": 2, "learning_rates": [0.003], "quick": True}
    here = af.compare("digits", executor=Inline(), **options)
    there = af.compare("digits", executor=nodes.address, **options)
    assert [row["scores"] for row in there.rows] == [row["scores"] for row in here.rows]
    assert there.data["machine"]["workers"] == 2


def test_a_lost_node_costs_its_jobs_only(nodes, tmp_path):
    jobs = [Waits(k, str(tmp_path)) for k in range(8)]
    killed = []

    def kill(records: dict[int, dict]) -> None:
        if len(records) == 2 and not killed:
            killed.append(True)
            (other,) = (node for node in nodes.list_all_nodes() if node is not nodes.head_node)
            nodes.remove_node(other, allow_graceful=False)

    with Cluster(nodes.address) as cluster:
        assert cluster.workers == 2
        records = do(cluster, jobs, kill)
    assert killed and sorted(records) == list(range(8))
    assert not any(record.get("broken") for record in records.values())


def test_a_job_whose_process_dies_is_tried_once_more(nodes, tmp_path):
    jobs = [Waits(0, str(tmp_path), kills=True), Waits(1, str(tmp_path))]
    with Cluster(nodes.address) as cluster:
        records = do(cluster, jobs)
    assert {record["number"] for record in records.values()} == {0, 1}


def test_a_cluster_that_does_not_answer_is_named():
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=r"`ray`: the cluster at 127\.0\.0\.1:1 does not answer"):
        Cluster("127.0.0.1:1")


def test_the_option_may_lack_its_value():
    from actfun._cli.compare import with_values

    assert with_values(["compare", "digits", "--ray"]) == ["compare", "digits", "--ray", "ray"]
    assert with_values(["compare", "--ray", "--quick", "digits"]) == ["compare", "--ray", "ray", "--quick", "digits"]
    assert with_values(["compare", "--ray", "h:1", "digits"]) == ["compare", "--ray", "h:1", "digits"]


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match="`ray` needs Ray: pip install"):
        af.compare("digits", executor="ray", seeds=1)
