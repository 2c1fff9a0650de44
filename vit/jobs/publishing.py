"""A trained run as a folder that another library loads."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from vit.faults import Fault, Refused
from vit.models.pretrained.publishing import write_hf, write_timm
from vit.runs.writing import readable_as_usual
from vit.trained import load

LIBRARIES = {"timm": write_timm, "hf": write_hf}
NEEDED = {"timm": "timm", "hf": "transformers"}


def publish(
    run_dir: str, out: str, checkpoint: str, library: str, allow_targets: tuple[str, ...] = ()
) -> str:
    """Writes the folder whole or not at all; what it is, in words.

    Raises Refused where the library has no model of the same function, or is not installed.
    """
    trained = load(run_dir, checkpoint=checkpoint, allow_targets=allow_targets)
    path = Path(out)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.absolute().parent))
    try:
        keys, transform = trained.config["backbone"], trained.transform
        said = LIBRARIES[library](trained.model, keys, trained.facts, transform, part)
        for each in (part, *part.iterdir()):
            readable_as_usual(each)
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
    except ValueError as error:
        message = f"{library} has no such model: {error}"
        raise Refused([Fault(f"--as {library}", message)]) from error
    except ImportError as error:
        message = f"needs the package {NEEDED[library]}: pip install {NEEDED[library]}"
        raise Refused([Fault(f"--as {library}", message)]) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return said
