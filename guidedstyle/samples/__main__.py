"""Write the sample images: python -m guidedstyle.samples FOLDER."""

from __future__ import annotations

import argparse
from pathlib import Path

from guidedstyle.samples import write_samples


def main() -> None:
    """Write the samples into the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m guidedstyle.samples", description="Write the sample images.")
    parser.add_argument("folder", type=Path)
    for path in write_samples(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
