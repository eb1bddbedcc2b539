"""`exportmodel`: model files for other programs, checked against what they were made of."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..contract.backbones import PRITHVI, backbone, is_foundation
from ..contract.card import PATCH, ModelCard
from ..contract.errors import InstaGeoError
from ..contract.jobs import INSTAGEO_HEAD, ONNX, ExportModelJob
from ..files import check_writable, written_whole
from ..reporting import Reporter
from .modelfile import load_model
from .normalise import normalise
from .prithvi import TRAINED_PX, PrithviEncoder
from .segmenter import Segmenter
from .weights import load_weights
from .zoo import NETWORK, architecture, build_module

LARGEST_DIFFERENCE = 1e-3  # of a probability, between the exported file and the model
DEEPNESS_SCALE = 255.0  # Deepness divides what it reads by this
_OVERLAP_PERCENT = 25
_OPSET = 18
_TRIAL_CHIPS = 2  # with one torch would fix the size of the batch


def export_model(job: ExportModelJob, reporter: Reporter) -> dict[str, Any]:
    """Write the model of the job in the format it names, and compare the file's results with the model's.

    Returns OUTPUT, and for `onnx` DIFFERENCE, the largest difference of a probability. Raises `InstaGeoError` for a
    model that the format cannot hold, and, leaving no file, when the results differ.
    """
    check_writable(job.output)
    reporter.progress(0, "Reading the model")
    card, tensors = load_model(job.model)
    if architecture(card.architecture).family != NETWORK or card.kind != PATCH:
        raise InstaGeoError(
            f"'{card.name}' is a model of single pixels ('{card.architecture}'); only networks of patches can be "
            "exported.",
            "Export a U-Net, a vision transformer, or a Prithvi or TerraMind model.",
        )
    network = build_module(card.architecture, card.constants, card.inputs, len(card.class_table.classes))
    load_weights(network, tensors, f"Model '{card.name}'")
    network.eval()
    if job.format == ONNX:
        return _export_onnx(job, card, network, reporter)
    return _export_checkpoint(job, card, network, reporter)


class DeepnessNetwork(nn.Module):
    """What Deepness feeds a model, values / 255 of all bands (N, T * C, H, W), to class probabilities (N, K, H, W)."""

    def __init__(self, card: ModelCard, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._card = card

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """See the class."""
        values, images, at = scaled * DEEPNESS_SCALE, [], 0
        for spec, norm in zip(self._card.inputs, self._card.normalisation, strict=True):
            part = values[:, at : at + spec.channels]
            part = part.reshape(-1, spec.timesteps, len(spec.bands), *part.shape[-2:])
            nodata = spec.nodata_value
            if nodata is not None and not np.isnan(nodata):
                part = torch.where((part - nodata).abs() < 0.5, torch.nan, part)
            images.append(normalise(part, norm))
            at += spec.channels
        logits: torch.Tensor = self.network(images, None)
        return logits.softmax(dim=1)


def _export_onnx(job: ExportModelJob, card: ModelCard, network: nn.Module, reporter: Reporter) -> dict[str, Any]:
    module = DeepnessNetwork(card, network).eval()
    channels = sum(spec.channels for spec in card.inputs)
    size = -(-card.chip_size // int(network.stride_px)) * int(network.stride_px)  # type: ignore[arg-type]
    trial = torch.from_numpy(_trial(card, size))
    reporter.progress(0.1, "Exporting")
    with written_whole(job.output) as part:
        _write_onnx(module, trial, part)
        _add_metadata(part, card, size)
        reporter.progress(0.7, "Comparing the exported file with the model")
        difference = _difference(module, trial, part)
        if not difference <= LARGEST_DIFFERENCE:
            raise InstaGeoError(
                f"The exported file differs from the model by {difference:.2g} of a probability; allowed are "
                f"{LARGEST_DIFFERENCE:g}.",
                "Nothing was written. Please report the model's backbone and head.",
            )
    reporter.artifact("OUTPUT", job.output)
    reporter.log(
        f"{job.output}: input (batch, {channels}, {size}, {size}), values / {DEEPNESS_SCALE:g}; probabilities of "
        f"{len(card.class_table.classes)} classes, equal to the model's to {difference:.1e}."
    )
    if is_foundation(card.architecture) and backbone(card.architecture).uses_time:
        reporter.log("The exported file has no input for time and place: it runs without them.", "warning")
    return {"OUTPUT": job.output, "DIFFERENCE": difference}


def _trial(card: ModelCard, size: int) -> np.ndarray:
    """(2, T * C, size, size) of plausible values as Deepness would give them, a corner of them without data."""
    random = np.random.default_rng(0)
    parts = []
    for spec, norm in zip(card.inputs, card.normalisation, strict=True):
        mean, std = (np.tile(values, spec.timesteps)[:, None, None] for values in (norm.mean, norm.std))
        part = mean + std * random.standard_normal((_TRIAL_CHIPS, spec.channels, size, size))
        part = 10 ** (part / 10) if norm.decibel else np.rint(part) if spec.dtype.startswith("int") else part
        if spec.nodata_value is not None and not np.isnan(spec.nodata_value):
            part[..., : size // 8, : size // 8] = spec.nodata_value
        parts.append(part)
    return (np.concatenate(parts, axis=1) / DEEPNESS_SCALE).astype(np.float32)


def _write_onnx(module: nn.Module, trial: torch.Tensor, path: Path) -> None:
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    try:
        loud.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (trial,),
                str(path),
                input_names=["image"],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=_OPSET,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
    finally:
        loud.setLevel(level)


def _add_metadata(path: Path, card: ModelCard, size: int) -> None:
    """What Deepness reads of a model, as JSON by name; the model card beside it."""
    import onnx

    model = onnx.load(path)
    unit = 100.0 if card.resolution_unit == "metre" else 100.0 * 111_320.0  # of a degree, roughly
    facts: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": {str(i): name for i, name in enumerate(card.class_table.names)},
        "resolution": card.resolution[0] * unit,
        "tile_size": size,
        "tiles_size": size,
        "tiles_overlap": _OVERLAP_PERCENT,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in facts.items()} | card.to_metadata())
    onnx.save(model, path)


def _difference(module: nn.Module, trial: torch.Tensor, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": trial.numpy()})[0]
    with torch.inference_mode():
        return float(np.abs(module(trial).numpy() - found).max())


def _export_checkpoint(job: ExportModelJob, card: ModelCard, network: nn.Module, reporter: Reporter) -> dict[str, Any]:
    """A checkpoint with the key names of the InstaGeo framework."""
    fits = is_foundation(card.architecture) and backbone(card.architecture).family == PRITHVI
    if not fits or card.constants["head"] != INSTAGEO_HEAD:
        found = card.constants.get("head", "no choice of heads")
        raise InstaGeoError(
            f"'{card.name}' is '{card.architecture}' with the head '{found}'; the InstaGeo framework reads Prithvi "
            f"with the head '{INSTAGEO_HEAD}'.",
            f"Fine-tune a Prithvi model with HEAD {INSTAGEO_HEAD}, or export as {ONNX}.",
        )
    with written_whole(job.output) as part:
        torch.save({"state_dict": instageo_state(network, card), "instageo_model_card": card.to_metadata()}, part)  # type: ignore[arg-type]
    reporter.artifact("OUTPUT", job.output)
    reporter.log(f"{job.output}: a checkpoint with the key names of the InstaGeo framework.")
    return {"OUTPUT": job.output}


def instageo_state(network: Segmenter, card: ModelCard) -> dict[str, torch.Tensor]:
    """The tensors of a Prithvi network with the head `instageo` under the InstaGeo framework's names."""
    encoder: PrithviEncoder = network.encoder  # type: ignore[assignment]
    spec = card.inputs[0]
    frames, bands, patch = spec.timesteps, len(spec.bands), encoder.patch
    found = {}
    for key, value in encoder.state_dict().items():
        name = key.replace("patch_embeds.0.", "patch_embed.")
        kernel = name == "patch_embed.proj.weight"
        found[f"net.prithvi_encoder.{name}"] = value.view(-1, bands, 1, patch, patch) if kernel else value
    side = TRAINED_PX // patch
    found["net.prithvi_encoder.pos_embed"] = functional.pad(
        encoder.positions(frames, side, side),
        (0, 0, 1, 0),  # the class token's row is zero
    )[None]
    for key, value in network.head.state_dict().items():
        name = key.removeprefix("stages.").replace("classify.", "5.")
        found[f"net.segmentation_head.{name}"] = value
    first = found["net.segmentation_head.0.0.weight"]  # there channels stand dimension by dimension
    found["net.segmentation_head.0.0.weight"] = first.view(frames, -1, *first.shape[1:]).transpose(0, 1).flatten(0, 1)
    return {name: value.detach().clone().contiguous() for name, value in found.items()}
