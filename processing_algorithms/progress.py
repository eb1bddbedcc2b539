"""Progress that keeps moving, so that QGIS passes it on and looks for Ctrl-C."""

from __future__ import annotations

from qgis.core import QgsProcessingFeedback

# Percent. QGIS 3.40 drops a change of 0.06 or less, and a model of n steps divides it by n.
NUDGE = 0.5


class LiveProgress:
    """Sets a feedback's progress; the same percentage again still counts as a sign of life."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._percent = 0.0
        self._nudged = False

    def set(self, percent: float) -> None:
        """Show `percent`, a little off it every second time it comes again."""
        self._nudged = percent == self._percent and not self._nudged
        self._percent = percent
        nudge = (NUDGE if percent < 50.0 else -NUDGE) if self._nudged else 0.0
        self._feedback.setProgress(percent + nudge)

    def repeat(self) -> None:
        """Show the last percentage again."""
        self.set(self._percent)
