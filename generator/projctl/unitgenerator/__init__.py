"""projctl-generator: the units of manifests at every daemon-reload, rendered by apply or, where new, there."""
