"""Turn protos/ into the typed Python package gen/lair.

python tools/gen_protos.py           # write gen/
python tools/gen_protos.py --check   # fail where gen/ is out of date
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"


def generate(out: Path) -> None:
    """Compile every .proto file into `out`, with stubs and package markers."""
    sources = sorted(p.relative_to(PROTOS).as_posix() for p in PROTOS.rglob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    # protoc looks for its plugins on PATH; they stand beside this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    flags = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    if protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *flags, *sources]):
        sys.exit("protoc failed")
    for source in sources:  # a file without services needs no service stub
        if "\nservice " not in (PROTOS / source).read_text():
            for suffix in (".py", ".pyi"):
                (out / source.replace(".proto", f"_pb2_grpc{suffix}")).unlink()
    for folder in {p.parent for p in out.rglob("*.py")}:
        for package in (folder, *folder.parents):
            if package == out:
                break
            (package / "__init__.py").touch()
    (out / "lair" / "py.typed").touch()


def differences(left: Path, right: Path) -> list[str]:
    """Name every file that is absent from one side or differs in content."""
    names = {p.relative_to(base) for base in (left, right) for p in base.rglob("*") if p.is_file()}
    names = {n for n in names if "__pycache__" not in n.parts}
    _, wrong, missing = filecmp.cmpfiles(left, right, sorted(map(str, names)), shallow=False)
    return wrong + missing


def main() -> None:
    """Generate, or check, as the command line asks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        if check:
            if stale := differences(fresh, GEN):
                sys.exit("stale, run `make protos`:\n  " + "\n  ".join(stale))
            return
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(fresh, GEN)


if __name__ == "__main__":
    main()
