"""`actfun swap`: activations of a model of a library, or of one's own, exchanged and checked."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from actfun._catalogue.registry import nearest
from actfun._report.tables import Section, fit_columns
from actfun._runs.files import named_in, told
from actfun._studies.results import Result
from actfun._surgery.replace import Replacement, replace


class Swap(Result):
    """What was exchanged. model: the changed model. replacement: what `af.replace` gave."""

    def __init__(self, name: str, model: nn.Module, replacement: Replacement) -> None:
        self.model, self.replacement = model, replacement
        columns = replacement.columns()
        keys = [heading.replace(" ", "_") for heading in columns]
        rows = [dict(zip(keys, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
        super().__init__(
            title=f"Activations of {name}",
            verdict=f"{replacement.verdict[0].upper()}{replacement.verdict[1:]}.",
            data={"model": name, "verdict": replacement.verdict, "notes": replacement.notes, "sites": rows},
            rows=rows,
            sections=[Section("Sites", "", columns)],
            drawn=lambda width: fit_columns("Activations exchanged", columns, width, ("site", "old", "new")),
            about=[f"{note[0].upper()}{note[1:]}." for note in replacement.notes],
        )


def swap(
    model: str,
    mapping: Mapping[str, str],
    *,
    where: str = "*",
    pretrained: Path | str | None = None,
    out: Path | str | None = None,
) -> Swap:
    """Exchange activations of a model by name, calls of functions too, check it, and write its weights.

    model: "timm:NAME", "torchvision:NAME", "transformers:FOLDER", as `save_pretrained` writes one, with weights or
    without, or "FILE.py:NAME", a pair (model, example of its input) or a function that gives one. mapping, where: as
    `af.replace` takes them. pretrained: a file of weights for the model as it was, .safetensors or torch's. out: a file
    for those of the changed model, likewise; for a model of transformers a folder, for `from_pretrained`.
    Raises ValueError for what cannot be right; OSError where a file cannot be used; RuntimeError where the check fails.
    """
    _check_out(model, pretrained, out)
    network, example = _load(model)
    if pretrained is not None:
        _read(network, Path(pretrained))
    found = Swap(model, network, replace(network, mapping, where=where, functional="swap", example=example))
    if out is not None:
        if Path(out).suffix:
            _write(network, Path(out), mapping, where)
            more = f", where={where!r}" if where != "*" else ""
            exchange = f'af.replace(model, {dict(mapping)}{more}, functional="swap", example=…)'
            found.about.append(f"Weights do not say it: {exchange} comes before {out} is loaded.")
        elif (save := getattr(network, "save_pretrained", None)) is not None:
            save(out)
        else:
            raise ValueError(f"out: {out} has no ending; a folder is for models of transformers, else {_ENDINGS}")
    return found


_ENDINGS = ".safetensors, .pt, .pth or .bin"


def _check_out(model: str, pretrained: Path | str | None, out: Path | str | None) -> None:
    """Raise ValueError where `out` is no file of weights, or one that was given."""
    if out is None:
        return
    if Path(out).suffix and Path(out).suffix not in _ENDINGS.replace(",", "").split():
        raise ValueError(f"out: {out} must end in {_ENDINGS}")
    for given in (pretrained, model.rpartition(":")[0], model.rpartition(":")[2]):
        if given and Path(given).resolve() == Path(out).resolve():
            raise ValueError(f"out: {out} was given, and would be lost")


def _load(model: str) -> tuple[nn.Module, Any]:
    library, _, name = model.rpartition(":")
    if not library or not name:
        raise ValueError(f"MODEL is timm:NAME, torchvision:NAME, transformers:FOLDER or FILE.py:NAME, got {model!r}")
    torch.manual_seed(0)
    if library.endswith(".py"):
        return _own(library, name)
    if library not in LOADERS:
        raise ValueError(f"MODEL: library {library!r} is not known; {nearest(library, tuple(LOADERS))}")
    try:
        return LOADERS[library](name)
    except ImportError as error:
        raise ValueError(f"MODEL: {model} needs {error.name}: pip install {error.name}") from None


def _own(file: str, name: str) -> tuple[nn.Module, Any]:
    found = named_in(file, name)
    made = told(Path(file), found) if callable(found) and not isinstance(found, nn.Module) else found
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module)):
        wanted = "a pair (model, example of its input), or a function that gives one"
        raise ValueError(f"MODEL: {name} in {file} must be {wanted}, got {type(made).__name__}")
    return made


def _timm(name: str) -> tuple[nn.Module, Any]:
    import timm

    if not timm.is_model(name):
        raise ValueError(f"MODEL: timm has no {name}; {nearest(name, tuple(timm.list_models()))}")
    model = timm.create_model(name)
    return model, torch.randn(2, *model.default_cfg["input_size"])


def _torchvision(name: str) -> tuple[nn.Module, Any]:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ValueError(f"MODEL: torchvision has no {name}; {nearest(name, tuple(models.list_models(module=models)))}")
    (size,) = models.get_model_weights(name).DEFAULT.transforms().crop_size
    return models.get_model(name, weights=None), torch.randn(2, 3, size, size)


def _transformers(folder: str) -> tuple[nn.Module, Any]:
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"MODEL: {folder} is no folder with a configuration of transformers: {error}") from None
    kind = getattr(transformers, (config.architectures or ["AutoModel"])[0], transformers.AutoModel)
    if any(Path(folder).glob("*.safetensors")) or any(Path(folder).glob("*.bin")):
        model = kind.from_pretrained(folder, local_files_only=True)
    else:
        model = kind.from_config(config) if kind is transformers.AutoModel else kind(config)
    if model.main_input_name == "input_ids":
        return model, model.dummy_inputs
    if model.main_input_name == "pixel_values":
        sides = config.image_size if isinstance(config.image_size, list | tuple) else [config.image_size] * 2
        return model, {"pixel_values": torch.randn(2, config.num_channels, *sides)}
    raise ValueError(
        f"MODEL: what {type(model).__name__} takes is not known ({model.main_input_name}); give it with an example, by "
        f"FILE.py:NAME"
    )


LOADERS: dict[str, Callable[[str], tuple[nn.Module, Any]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "transformers": _transformers,
}


def _read(model: nn.Module, path: Path) -> None:
    """Read weights into a model. Raises ValueError where a file has none, or those of another model."""
    path.open("rb").close()
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_model

            load_model(model, path)
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = next((state[key] for key in ("state_dict", "model") if isinstance(state.get(key), dict)), state)
        if all(key.startswith("module.") for key in state):
            state = {key.removeprefix("module."): value for key, value in state.items()}
        model.load_state_dict(state)
    except ImportError:
        raise ValueError("pretrained: .safetensors needs safetensors: pip install safetensors") from None
    except Exception as error:
        said = " ".join(str(error).split())
        whole = "; it seems to hold a whole model, whose state_dict is wanted" if "weights_only" in said else ""
        raise ValueError(f"pretrained: {path} has no weights of this model{whole}: {said[:300]}") from error


def _write(model: nn.Module, path: Path, mapping: Mapping[str, str], where: str) -> None:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_model

        save_model(model, str(path), metadata={"actfun.replace": json.dumps(dict(mapping)), "actfun.where": where})
        return
    with path.open("wb") as file:
        torch.save(model.state_dict(), file)
