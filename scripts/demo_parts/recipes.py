"""What the demo does with each dataset: the parameters of every step, and what to show at the end."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Imagery, labels and settings of one demo. `chips`, `split`, `train` hold parameters that differ from defaults;
    `rgb` are the 1-based bands of `shown` to draw; `truth` is a raster of class values, or None."""

    title: str
    rasters: tuple[Path, ...]
    chips: dict[str, Any]
    split: dict[str, Any]
    train: dict[str, Any]
    rgb: tuple[int, int, int]
    shown: Path
    project: Path | None = None
    truth: Path | None = None
    points: tuple[Path, str] | None = None
    masks: tuple[Path, ...] = field(default=())

    def steps(self, output: Path) -> list[tuple[str, dict[str, Any]]]:
        """Algorithm and inputs, in order."""
        chips, model = str(output / "chips"), str(output / "model.safetensors")
        rasters = [str(path) for path in self.rasters]
        masks = {"MASK_RASTERS": [str(path) for path in self.masks]} if self.masks else {}
        return [
            ("createchips", {"RASTERS": rasters, **masks, **self.chips, "OUTPUT": chips,
                             "REPORT": str(output / "chips.html")}),
            ("splitchips", {"INPUT": chips, **self.split}),
            ("finetune", {"INPUT": chips, **self.train, "OUTPUT": model, "REPORT": str(output / "training.html")}),
            ("predictraster", {"INPUT": rasters, **masks, "MODEL": model, "OUTPUT": str(output / "map.tif"),
                               "CONFIDENCE": str(output / "confidence.tif")}),
            ("evaluate", {"MODEL": model, "INPUT": chips, "SPLIT": "test",
                          "REPORT": str(output / "evaluation.html"), "METRICS": str(output / "metrics.json")}),
        ]  # fmt: skip

    def shown_layers(self, output: Path) -> list[dict[str, str]]:
        """Layers of the result project, top first."""
        layers = [
            {"path": str(output / "map.tif"), "name": "Map", "kind": "raster"},
            {"path": str(self.shown), "name": "Imagery", "kind": "image", "rgb": json.dumps(self.rgb)},
        ]
        chips = {"path": f"{output / 'chips' / 'chips.gpkg'}|layername=chips", "name": "Chips", "kind": "outline"}
        return [chips, *layers]


def sample_recipe(folder: Path) -> Recipe:
    """The generated landscape: a shapefile in a project, three dates with cloud masks, the small U-Net."""
    scenes = tuple(sorted(folder.glob("scene_*.tif")))
    return Recipe(
        title="Sample landscape",
        rasters=scenes,
        masks=tuple(sorted(folder.glob("mask_*.tif"))),
        chips={"INPUT": "Field survey", "CLASS_FIELD": "crop", "CHIP_SIZE": 64},
        split={"STRATEGY": "block", "BLOCK_SIZE": 640, "VAL": 15, "TEST": 20, "SEED": 1},
        train={"BACKBONE": "unet", "EPOCHS": 40, "SEED": 1},
        rgb=(5, 4, 3),
        shown=scenes[1],
        project=folder / "sample.qgz",
        truth=folder / "truth.tif",
    )


def recipe_for(folder: Path, output: Path) -> Recipe:
    """The recipe of a real dataset, known by its files; exits with the known ones when there is none."""
    recipes = {"leipzig_points.gpkg": _leipzig, "landsat5_labels.tif": _csmask, "samples_sinop_crop.csv": _sinop}
    for name, recipe in recipes.items():
        if (folder / name).is_file():
            return recipe(folder, output)
    raise SystemExit(f"{folder} holds none of {', '.join(recipes)}: choose the folder leipzig, csmask or sinop.")


def _leipzig(folder: Path, output: Path) -> Recipe:
    raster, points = folder / "leipzig_raster.tif", folder / "leipzig_points.gpkg"
    return Recipe(
        title="Leipzig, Sentinel-2, 97 points",
        rasters=(raster,),
        chips={"INPUT": str(points), "CLASS_FIELD": "land_cover", "CHIP_SIZE": 16},
        split={"STRATEGY": "block", "BLOCK_SIZE": 320, "VAL": 20, "TEST": 25, "SEED": 0},
        train={"BACKBONE": "pixels"},
        rgb=(6, 3, 2),
        shown=raster,
        points=(points, "land_cover"),
    )


def _csmask(folder: Path, output: Path) -> Recipe:
    raster, labels = folder / "landsat5.tif", folder / "landsat5_labels.tif"
    classes = [["0", 0, "Clear", "#7fb069"], ["1", 1, "Cloud", "#f5f5f5"], ["2", 2, "Cloud shadow", "#3d405b"]]
    return Recipe(
        title="Clouds and shadows, Landsat 5",
        rasters=(raster,),
        chips={
            "LABEL_RASTERS": [str(labels)],
            "LABEL_VALUES": "0 1 2",
            "CLASS_TABLE": [cell for row in classes for cell in row],
            "CHIP_SIZE": 128,
        },
        split={"STRATEGY": "block", "BLOCK_SIZE": 3840, "VAL": 15, "TEST": 25, "SEED": 0},
        train={"BACKBONE": "unet", "EPOCHS": 40},
        rgb=(4, 3, 2),
        shown=raster,
        truth=labels,
    )


def _sinop(folder: Path, output: Path) -> Recipe:
    rasters = tuple(sorted(folder.glob("*.jp2")))
    points = output / "sinop_points.geojson"
    _points_from_csv(folder / "samples_sinop_crop.csv", points)
    return Recipe(
        title="Crops of Sinop, MODIS NDVI",
        rasters=rasters,
        chips={"INPUT": str(points), "CLASS_FIELD": "label", "CHIP_SIZE": 16},
        split={"STRATEGY": "random", "VAL": 20, "TEST": 30, "SEED": 3},
        train={"BACKBONE": "pixels"},
        rgb=(1, 1, 1),
        shown=rasters[5],
        points=(points, "label"),
    )


def _points_from_csv(source: Path, target: Path) -> None:
    with source.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    features = [
        {
            "type": "Feature",
            "properties": {"label": row["label"]},
            "geometry": {"type": "Point", "coordinates": [float(row["longitude"]), float(row["latitude"])]},
        }
        for row in rows
    ]
    target.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
