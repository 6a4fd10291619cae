"""Prints what TensorBoard's own reader finds in a run's event files, as JSON.

    python bench/read_events.py RUN
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    events.Reload()
    tags = events.Tags()
    images = {tag: events.Images(tag) for tag in tags["images"]}
    histograms = {tag: events.Histograms(tag) for tag in tags["histograms"]}
    found = {
        "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
        "images": {
            tag: [[e.step, e.width, e.height, e.encoded_image_string[:4].hex()] for e in of] for tag, of in images.items()
        },
        "histograms": {
            tag: [[e.step, h.num, sum(h.bucket), h.min, h.max] for e in of for h in [e.histogram_value]]
            for tag, of in histograms.items()
        },
    }
    json.dump(found, sys.stdout)


main()
