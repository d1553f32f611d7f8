"""What pytest collects: modules whose optional package is not installed have no examples to run."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("ray") else ["bglab/executors/ray_cluster.py"]
