"""docs/keys.md, made of what `vit keys --markdown` prints.

python tests/keys_page.py    writes the page anew
"""

import io
from contextlib import redirect_stdout
from pathlib import Path

from vit.cli.keys import main

PAGE = Path(__file__).parents[1] / "docs/keys.md"
START = """# Keys

What `vit keys` prints of the defaults, and of the parts of detection, segmentation and tuning. It
prints the same of any other choice: `vit keys data=folder`, `vit keys head=detr`,
`vit keys optim=muon`; `vit keys` alone lists the groups. A key with a plus is one that the class
takes and no file sets.
How they are set: [config.md](config.md). (This page is made by `tests/keys_page.py`.)
"""
PARTS = {
    "The defaults": (
        "backbone head data optim schedule ema task trainer checkpoint watch tracking sweep"
    ),
    "Detection": "task=detection data=coco head data",
    "Segmentation": "task=segmentation data=mask_folder head task data",
    "A part of the model": "tuning=lora tuning",
}


def page():
    parts = [START]
    for title, words in PARTS.items():
        said = io.StringIO()
        with redirect_stdout(said):
            assert main([*words.split(), "--markdown"]) == 0
        parts.append(f"## {title}\n\n`vit keys {words}`\n\n{said.getvalue().strip()}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
