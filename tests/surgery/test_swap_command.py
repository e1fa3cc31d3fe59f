"""`actfun swap`: models by name, weights in and out, a page, and what is said of wrong input."""

import pytest
import torch
from support import References

import actfun as af
from actfun._cli import main

OWN = """
import torch
from torch import nn
from torch.nn.functional import leaky_relu


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.act, self.down = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, x):
        return leaky_relu(self.down(self.act(self.up(x))))


def network():
    return Network(), torch.randn(3, 4)


def nothing():
    return 3


def raises():
    raise KeyError('x')  # here


alone = Network()
pair = network()
"""


@pytest.fixture
def own(tmp_path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path}/own.py"


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_go_in_and_those_of_the_changed_model_come_out(own, tmp_path, capsys, ending):
    if ending == "safetensors":
        pytest.importorskip("safetensors")
    old, new, page = tmp_path / "old.pt", tmp_path / f"new.{ending}", tmp_path / "page.html"
    state = {"up.weight": torch.ones(8, 4), "up.bias": torch.zeros(8)}
    state |= {"down.weight": torch.ones(2, 8), "down.bias": torch.zeros(2)}
    torch.save(state, old)
    files = ["--pretrained", str(old), "--out", str(new), "--html", str(page)]
    assert main(["swap", f"{own}:network", "relu=gelu", "leaky_relu=prelu", *files]) == 0
    said = capsys.readouterr().out
    assert (
        "2 of 2 calls replaced (1 module and 1 function)" in said
        and "New parameters, in no optimizer yet, nor in DDP or FSDP: in_place_of_leaky_relu_0.weight" in said
    )
    if ending == "pt":
        written = torch.load(new)
    else:
        from safetensors import safe_open
        from safetensors.torch import load_file

        written = load_file(new)
        with safe_open(new, "pt") as file:
            assert file.metadata()["actfun.replace"] == '{"relu": "gelu", "leaky_relu": "prelu"}'
    assert {key: value for key, value in written.items() if key in state}.keys() == state.keys()
    assert torch.equal(written["up.weight"], torch.ones(8, 4)) and len(written) == 5
    assert "gelu" in page.read_text() and not References(page.read_text()).found


def test_a_folder_of_transformers_goes_in_and_one_that_says_what_it_is_comes_out(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    try:
        kind = transformers.BertForMaskedLM
    except ImportError:  # it imports torchvision where there is one, here of another torch
        pytest.skip("transformers has no models here")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    old = kind(transformers.BertConfig(vocab_size=50, **sizes))
    old.save_pretrained(tmp_path / "old")
    assert main(["swap", f"transformers:{tmp_path}/old", "gelu=silu", "--out", str(tmp_path / "new")]) == 0
    assert "config.hidden_act is 'silu' now" in capsys.readouterr().out.lower()
    new = kind.from_pretrained(tmp_path / "new")
    assert [site.activation for site in af.sites(new)] == ["silu", "silu", "tanh"][: len(af.sites(new))]
    for key, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[key], value)


def test_a_folder_without_a_configuration_is_wrong_usage(tmp_path, capsys):
    pytest.importorskip("transformers")
    assert main(["swap", f"transformers:{tmp_path}", "gelu=silu"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["network", "relu"], 2, "OLD=NEW, as in relu=gelu; got 'relu'"),
        (["network", "tanh=gelu"], 2, "no tanh; the model has relu ×1, leaky_relu ×1"),
        (["network", "relu=gulu"], 2, "unknown activation 'gulu'; did you mean"),
        (["netwok", "relu=gelu"], 2, "has no netwok; did you mean network?"),
        (
            ["nothing", "relu=gelu"],
            2,
            "must be a pair (model, example of its input), or a function that gives one, got",
        ),
        (["alone", "relu=gelu"], 2, "got Network"),
        (["raises", "relu=gelu"], 2, "raise KeyError('x')  # here: KeyError: 'x'"),
        (["network", "relu=gelu", "relu=silu"], 2, "relu is given twice"),
        (["network", "leaky_relu(negative_slope=0.2)=gelu"], 2, "no leaky_relu(negative_slope=0.2); the model has"),
        (["network", "relu=gelu", "--out", "own.py"], 2, "own.py must end in .safetensors, .pt, .pth or .bin"),
        (["network", "relu=gelu", "--out", "folder"], 2, "a folder is for models of transformers"),
        (["network", "relu=gelu", "--html", "nowhere/page.html"], 2, "cannot use nowhere: there is no such folder"),
        (["network", "relu=gelu", "--pretrained", "nowhere.pt"], 2, "cannot use nowhere.pt"),
    ],
)
def test_wrong_input_is_one_line(own, capsys, words, code, said):
    assert main(["swap", f"{own}:{words[0]}", *words[1:]]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_what_is_no_file_of_weights_is_wrong_input(own, tmp_path, capsys):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk of no kind")
    torch.save({"up.weight": torch.ones(8, 4)}, tmp_path / "part.pt")
    for name, said in (("whole", "a whole model, whose state_dict"), ("junk", "has no weights"), ("part", "up.bias")):
        assert main(["swap", f"{own}:pair", "relu=gelu", "--pretrained", str(tmp_path / f"{name}.pt")]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    (tmp_path / "broken.py").write_text("x = (\n")
    assert main(["swap", f"{tmp_path}/broken.py:x", "relu=gelu"]) == 2
    assert "broken.py, line 1: '(' was never closed" in capsys.readouterr().err


def test_weights_in_a_checkpoint_and_of_a_wrapped_model_are_found(own, tmp_path, capsys):
    torch.manual_seed(0)
    from actfun._runs.files import named_in

    state = named_in(own, "network")()[0].state_dict()
    checkpoint = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}
    torch.save(checkpoint, tmp_path / "old.pt")
    files = ["--pretrained", str(tmp_path / "old.pt"), "--out", str(tmp_path / "new.pt")]
    assert main(["swap", f"{own}:network", "relu=gelu", *files]) == 0
    written = torch.load(tmp_path / "new.pt")
    assert all(torch.equal(written[key], value) for key, value in state.items())
    assert main(["swap", f"{own}:network", "relu=gelu", *files[:3], files[1]]) == 2
    assert "was given, and would be lost" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["resnet18", "tim:resnet18", ":x"])
def test_a_model_that_is_not_named_right(model, capsys):
    assert main(["swap", model, "relu=gelu"]) == 2
    assert "MODEL" in capsys.readouterr().err


def test_a_model_of_timm_by_name():
    pytest.importorskip("timm")
    from actfun._studies.swap import swap

    try:
        found = swap("timm:resnet10t", {"relu": "gelu"})
    except RuntimeError as error:  # of a torchvision that was built for another torch
        pytest.skip(str(error)[:80])
    assert found.verdict.startswith("11 of 11 calls replaced") and len(found.rows) == 11
    assert all(site.activation == "gelu" for site in af.sites(found.model))
    with pytest.raises(ValueError, match="timm has no resnet10; did you mean"):
        swap("timm:resnet10", {"relu": "gelu"})
