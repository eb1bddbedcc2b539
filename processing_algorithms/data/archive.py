"""Parameters of satellite archives, and the choice they make."""

from __future__ import annotations

from ...core.contract.jobs import (
    ORBITS,
    SELECTIONS,
    STEP_UNITS,
    ArchiveChoice,
    CreateChipsJob,
)
from ...core.contract.sensors import CATALOGS, MASKS
from .. import parameters as p
from ..values import Values


def catalogue() -> list[p.Definition]:
    """CATALOG, COLLECTIONS and AUTH."""
    return [
        p.text(
            "CATALOG",
            "Catalogue",
            ArchiveChoice.catalog,
            f"A STAC catalogue: {', '.join(CATALOGS)}, a URL, a file of items or a folder of them.",
        ),
        p.text(
            "COLLECTIONS",
            "Collections",
            "",
            "Ids of the catalogue's collections, separated by spaces. Empty: those of the sensors.",
            advanced=True,
        ),
        p.login(
            "AUTH",
            "Login",
            "For archives that want one, such as NASA's (an Earthdata user name and password). Kept in QGIS's "
            "authentication store; the catalogue and its archive alone get to know it.",
        ),
    ]


def collections(values: Values) -> tuple[str, ...]:
    """Ids of COLLECTIONS."""
    return tuple(values.text("COLLECTIONS").replace(",", " ").split())


def label_dates() -> list[p.Definition]:
    """When the labels were observed."""
    return [
        p.field(
            "DATE_FIELD",
            "Date field (archive)",
            "INPUT",
            "The field that says when each label was observed, for imagery from an archive. Dates without a time zone "
            "are UTC days.",
        ),
        p.text(
            "DATE", "Date (archive)", CreateChipsJob.date, "One date for all labels, in place of a field: 2022-06-08."
        ),
        p.text(
            "DATE_FORMAT",
            "Date format (archive)",
            CreateChipsJob.date_format,
            "How dates are written, when not as 2022-06-08: '%d/%m/%Y' for 08/06/2022, '%d.%m.%y' for 08.06.22.",
            advanced=True,
        ),
    ]


def timesteps() -> list[p.Definition]:
    """Which dates to look for around a label's."""
    return [
        p.integer(
            "TIMESTEPS",
            "Timesteps (archive)",
            ArchiveChoice.timesteps,
            "How many dates a chip has. The first is the label's, the others come before it. Default 1.",
            minimum=1,
            maximum=1000,
        ),
        p.integer("STEP", "Step (archive)", ArchiveChoice.step, "From one date to the next. Default 30.", minimum=1),
        p.choice(
            "STEP_UNIT",
            "Unit of the step (archive)",
            STEP_UNITS,
            ArchiveChoice.step_unit,
            "'days' (default), 'month' or 'dekad' (the 1st, 11th and 21st of a month).",
            advanced=True,
        ),
        p.integer(
            "OFFSET_DAYS",
            "Days before the label (archive)",
            ArchiveChoice.offset_days,
            "How many days before the label's date the first date lies. Default 0.",
            advanced=True,
        ),
        p.flag(
            "MONTH_START",
            "From the month's first day (archive)",
            ArchiveChoice.month_start,
            "Count from the first day of the label's month rather than from its day.",
            advanced=True,
        ),
        p.integer(
            "TOLERANCE_DAYS",
            "Tolerance in days (archive)",
            ArchiveChoice.tolerance_days,
            "How many days before or after a date a scene may be. Default 5.",
            minimum=0,
        ),
        p.integer(
            "MIN_TIMESTEPS",
            "Fewest timesteps (archive)",
            None,
            "Chips with fewer dates found are skipped; dates missing in between are nodata. Empty: all are needed.",
            minimum=1,
            advanced=True,
        ),
    ]


def scenes() -> list[p.Definition]:
    """Which of the scenes in a window to take, and what to mask in them."""
    return [
        p.choice(
            "SELECTION",
            "Scene for a date (archive)",
            SELECTIONS,
            ArchiveChoice.selection,
            "'cloud': least clouds says the catalogue (default). 'nearest': nearest date. 'clearest': fewest masked "
            "pixels in the chip itself. 'median': of the clear pixels of all scenes.",
        ),
        p.decimal(
            "MAX_CLOUD",
            "Most clouds in a scene (archive)",
            ArchiveChoice.max_cloud,
            "Percent of the scene, for 'cloud' and 'nearest'. Scenes that say nothing of clouds are kept. Default 10.",
            minimum=0,
            maximum=100,
        ),
        p.choice(
            "MASK",
            "Mask (archive)",
            MASKS,
            list(ArchiveChoice.masks),
            "What to mask out with the scene's own quality band. Without any, everything is kept (default).",
            several=True,
        ),
        p.flag(
            "DAYTIME",
            "Daytime only (archive)",
            ArchiveChoice.daytime,
            "Leave out scenes taken at night.",
            advanced=True,
        ),
        p.choice(
            "ORBIT",
            "Orbit (archive)",
            ORBITS,
            ArchiveChoice.orbit,
            "Sentinel-1: 'any' direction (default), 'ascending' or 'descending'.",
            advanced=True,
        ),
    ]


def archive_choice(values: Values) -> ArchiveChoice:
    """What these parameters ask for."""
    return ArchiveChoice(
        catalog=values.text("CATALOG"),
        collections=collections(values),
        timesteps=values.integer("TIMESTEPS"),
        step=values.integer("STEP"),
        step_unit=values.choice("STEP_UNIT"),
        offset_days=values.integer("OFFSET_DAYS"),
        month_start=values.flag("MONTH_START"),
        tolerance_days=values.integer("TOLERANCE_DAYS"),
        min_timesteps=values.integer("MIN_TIMESTEPS", ArchiveChoice.min_timesteps),
        selection=values.choice("SELECTION"),
        max_cloud=values.decimal("MAX_CLOUD"),
        masks=tuple(values.choices("MASK")),
        daytime=values.flag("DAYTIME"),
        orbit=values.choice("ORBIT"),
    )
