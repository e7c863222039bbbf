"""What a scrape says, as numbers by series."""

from prometheus_client.parser import text_string_to_metric_families


def series(text: str) -> dict[str, float]:
    """Return the value of each series; its name is written as in a scrape, with labels in the order of the alphabet."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
