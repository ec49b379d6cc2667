"""The attributes that an image-and-text teacher is asked about: parts of works, and what looks like them."""

from __future__ import annotations

WORKS = (
    "an orange traffic cone", "a row of traffic cones", "an orange traffic drum",
    "a line of drums along a lane", "a striped barricade", "a plastic road barrier",
    "a concrete barrier along road works", "an orange diamond road work sign", "a road work ahead sign",
    "a lane closed sign", "a detour sign", "an arrow board on a trailer",
    "a temporary speed limit sign", "an excavator on the road", "a road roller", "a paving machine",
    "a dump truck at a construction site", "a construction worker in a high visibility vest",
    "a flagger with a stop sign", "a trench in the road", "a steel plate on the road", "fresh asphalt",
    "a heap of gravel on the road", "a lane closed by a taper of cones",
    "a road milled for resurfacing", "safety netting around a hole",
    "a utility truck with a raised bucket", "warning lights on a road barrier",
)  # fmt: skip
ALIKE = (
    "an empty road", "a street with parked cars", "traffic waiting at a light",
    "a bollard on the pavement", "a rubbish bin at the kerb", "an orange van", "a parked truck",
    "a school bus", "a building with scaffolding", "a billboard", "a permanent warning sign",
    "a stop sign", "a traffic light", "a fire hydrant", "an orange tree in autumn",
    "a pedestrian in an orange jacket", "a petrol station", "a delivery van",
    "a guard rail beside the road", "a toll station", "a motorway at night", "a road in the rain",
)  # fmt: skip
ANCHORS = (*WORKS, *ALIKE)


def prompts() -> list[str]:
    """As sentences."""
    return [f"a photo of {anchor}" for anchor in ANCHORS]
