"""Exchange activations in models of torchvision, timm and transformers, and write docs/exchange.md of what came of it.

    python tools/exchange_models.py [docs/exchange.md]

It needs the extras `images` and `peers`. Weights are drawn, nothing is downloaded. A library that is missing is left
out.
"""

import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import actfun as af
from actfun._report.formatting import markdown_table
from actfun._runs.host import cores, machine
from actfun._surgery.replace import Replacement
from actfun._surgery.sites import run

VISION = (
    "alexnet vgg11 resnet18 resnext50_32x4d densenet121 googlenet mobilenet_v2 mobilenet_v3_small efficientnet_b0 "
    "shufflenet_v2_x1_0 squeezenet1_1 convnext_tiny maxvit_t swin_v2_t vit_b_16"
)
TIMM = (
    "resnet10t regnety_002 hrnet_w18_small ghostnet_050 lcnet_035 mixer_s32_224 poolformer_s12 caformer_s18 "
    "dm_nfnet_f0 darknet17 levit_128s"
)
TRANSFORMERS = (
    "Bert Roberta Albert Electra DistilBert MPNet GPT2 GPTNeo GPTNeoX OPT Bloom Llama Mistral Gemma Gemma2 Phi Phi3 "
    "Cohere StableLm Starcoder2 Olmo T5 Mamba BioGpt XGLM Persimmon Apertus"
)
OF_IMAGES = "ViT Swin ConvNext Dinov2 ResNet"
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 100, "state_size": 4}
SMALL |= {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32}


def models() -> Iterator[tuple[str, str, nn.Module, Any]]:
    """Each model, with an example: library, name, model, example."""
    torch.manual_seed(0)
    try:
        from torchvision.models import get_model

        for name in VISION.split():
            more = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
            yield "torchvision", name, get_model(name, weights=None, **more), torch.randn(2, 3, 224, 224)
    except (ImportError, RuntimeError) as error:
        print(f"torchvision is left out: {error}", file=sys.stderr)
    try:
        import timm

        for name in TIMM.split():
            model = timm.create_model(name)
            yield "timm", name, model, torch.randn(2, *model.default_cfg["input_size"])
    except ImportError as error:
        print(f"timm is left out: {error}", file=sys.stderr)
    try:
        import transformers

        for name in TRANSFORMERS.split():
            config = getattr(transformers, f"{name}Config")()
            small = {key: value for key, value in SMALL.items() if hasattr(config, key)}
            if "layer_types" in vars(config) and config.layer_types:
                small["layer_types"] = config.layer_types[: SMALL["num_hidden_layers"]]
            if name == "GPTNeo":
                small |= {"num_layers": 2, "attention_layers": ["global", "local"]}
            for key, value in small.items():
                setattr(config, key, value)
            config.pad_token_id = config.bos_token_id = config.eos_token_id = 0
            ids = torch.randint(1, 99, (2, 9))
            more = {"decoder_input_ids": ids} if name == "T5" else {}
            yield "transformers", name, transformers.AutoModel.from_config(config), {"input_ids": ids, **more}
        for name in OF_IMAGES.split():
            model = transformers.AutoModel.from_config(getattr(transformers, f"{name}Config")())
            yield "transformers", name, model, {"pixel_values": torch.randn(2, 3, 224, 224)}
    except ImportError as error:
        print(f"transformers is left out: {error}", file=sys.stderr)


def changed(model: nn.Module, example: Any) -> tuple[str, str, Replacement]:
    """The most frequent activation of a model exchanged for GELU, or GELU for SiLU."""
    counted: Counter[str] = Counter()
    for site in af.sites(model, example):
        counted[site.activation.partition("(")[0]] += site.calls or 0
    old = counted.most_common(1)[0][0]
    new = "silu" if old.startswith("gelu") else "gelu"
    return old, new, af.replace(model, {old: new}, example=example, functional="swap")


def _first(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


def compiled(model: nn.Module, example: Any) -> str:
    """A changed model under torch.compile and torch.export, in words."""
    with torch.no_grad():
        right = _first(run(model, example))
        off = (_first(run(torch.compile(model, fullgraph=True), example)) - right).abs().max() / right.abs().max()
        exported = torch.export.export(model, (example,))
        also = (_first(exported.module()(example)) - right).abs().max() / right.abs().max()
    same = "the same" if also == 0.0 else f"within {also:.0e}"
    nodes = sum("actfun.gelu" in str(node.target) for node in exported.graph.nodes)
    return (
        f"The changed ResNet-18, compiled by `torch.compile(fullgraph=True)`, gives eager's output within {off:.0e}. "
        f"Exported by `torch.export` it has {nodes} nodes of GELU, and its output is {same}."
    )


def main() -> None:
    """Run all, and write the page."""
    warnings.simplefilter("ignore")
    rows, words = [], ""
    for library, name, model, example in models():
        start = time.perf_counter()
        old, new, done = changed(model.eval(), example)
        calls = sum(site.calls or 0 for site in done.sites)
        kinds = Counter(site.kind for site in done.sites)
        moved = done.checked.moved if done.checked else math.nan
        said = "" if library != "transformers" else "no" if any("cannot say" in note for note in done.notes) else "yes"
        counts = [f"{calls:,}", str(kinds["module"]), str(kinds["function"] or "")]
        rows.append([library, name, old, new, *counts, f"{moved:.3g}", said])
        print(*rows[-1], f"{time.perf_counter() - start:.1f} s", file=sys.stderr)
        if name == "resnet18":
            words = compiled(model, example)
    headings = ["library", "model", "old", "new", "calls", "modules", "functions", "output moved"]
    headings.append("configuration says it")
    columns = dict(zip(headings, map(list, zip(*rows, strict=True)), strict=True))
    where, libraries = machine(1, cores()), dict.fromkeys(row[0] for row in rows)
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    text = f"""\
# Activations exchanged

Written by `python tools/exchange_models.py`: do not edit.

`af.replace(model, {{old: new}}, example=…, functional="swap")` exchanged every call of the activation that is called
most in {len(rows)} models of {len(libraries)} libraries. Weights are drawn, models of transformers are small. Each
exchange was checked: with actfun's own of the same function the output agreed, and they were called as often as the
old ones, in training, in evaluation and without gradients. *Output moved*: the root mean square of its change,
over that of the output; 0 where the last layer starts as zeros. What was trained with the old activation needs to be
trained on. *Configuration says it*: whether `from_pretrained` gives the changed model; the model that its configuration
makes was asked.

{words}

Machine: {where["processor"]}; torch {where["torch"]}, actfun {where["actfun"]}, {versions}; {where["date"]}.

"""
    text += "\n".join(markdown_table(columns)) + "\n"
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/exchange.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
