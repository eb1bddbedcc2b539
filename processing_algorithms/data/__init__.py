"""From labels and imagery to a chip dataset."""
