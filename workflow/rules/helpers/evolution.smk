"""What a condition of XDream's experiment reads."""

from v4egg.xdream.generators import IMAGE_GENERATORS


def evolution_inputs(condition):
    """The files of the neurons and of the image generator of a condition of the evolution experiment."""
    options = CONDITIONS[condition]
    chosen = options["image_generator"]
    inputs = store_inputs(required_stores(IMAGE_GENERATORS, chosen["name"], chosen, "image generator"))
    inputs |= weight_inputs(options)
    if options["neurons"] == "external":
        responses = list(natural_responses(TARGET_SESSIONS).values())
        return {**inputs, "external_judges": external_judge_files(TARGET_SESSIONS), "natural_responses": responses}
    if options["neurons"] == "encoder":
        inputs["targets"] = f"{RESULTS}/targets.zarr"
    return {**inputs, "members": members(options["arch"] or SOURCES[0], "generator")}
