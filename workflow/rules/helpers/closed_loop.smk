"""Where the loop is closed: sessions with a simulated brain, and the architecture whose generators make the images."""

SIMULATED_TARGETS = [s for s in TARGET_SESSIONS if config["sessions"][s]["format"] == "simulated"]
LOOP_SESSIONS = SIMULATED_TARGETS if config["closed_loop"]["rounds"] else []


def loop_architecture():
    """Whose generators close the loop: frozen features are of a session's own images, so a network without them."""
    data_driven = [arch for arch in ARCHITECTURES if frozen_options(arch) is None]
    return config["closed_loop"]["architecture"] or data_driven[0]
