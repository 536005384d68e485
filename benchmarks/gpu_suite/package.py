"""The programs: unpacked from an archive that `pack` made, or built here."""

import json
import os
import pathlib
import subprocess
import tarfile

from gpu_suite import machine


class NotReady(Exception):
    """One line that says what is missing."""


def prepare(settings, options):
    """Fills settings.package and settings.facts."""
    archive = pathlib.Path(options.archive)
    if archive.exists():
        settings.package = _unpack(archive, settings.work)
    elif options.archive_given:
        raise NotReady(f"there is no archive {archive}: `benchmarks/gpu_suite.sh pack` makes one")
    else:
        settings.package = _build(settings)
    settings.facts = json.loads((settings.package / "facts.json").read_text())
    _link_libraries(settings)
    _try(settings)


def _unpack(archive, work):
    with tarfile.open(archive, "r:xz") as tar:
        tar.extractall(work, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(work)
    return work / "package"


def _build(settings):
    """By the same script that packs, without packing."""
    script = settings.root / "benchmarks/gpu_suite/pack.sh"
    finished = subprocess.run([script, "--no-archive"], stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        raise NotReady(
            "no archive is here, and the programs cannot be built here (see above): "
            "`benchmarks/gpu_suite.sh pack` on a machine that can makes one"
        )
    return pathlib.Path(finished.stdout.strip().splitlines()[-1])


def _link_libraries(settings):
    """NVIDIA's libraries are this machine's; the compiler's too, where it has them."""
    folder = settings.package / "lib"
    for name in settings.facts["nvidia_libraries"]:
        found = machine.find_library(name, settings.python)
        if not found:
            raise NotReady(f"{name} is missing: it comes with the CUDA toolkit and with PyTorch's wheels")
        _link(folder / name, found)
    here = machine.output_of(["ldconfig", "-p"])
    for library in sorted((settings.package / "lib/compiler").glob("*")):
        if library.name not in here:
            _link(folder / library.name, library)


def _link(link, target):
    if not link.exists():
        link.unlink(missing_ok=True)
        os.symlink(target, link)


def _try(settings):
    """A program that cannot start here is found now and said in one line."""
    for name in ("bin/sequela", "benchmarks/kernels_cuda_benchmark"):
        finished = subprocess.run(
            [settings.package / name, "--help"], capture_output=True, text=True
        )
        if finished.returncode != 0:
            raise NotReady(f"{name} does not start here: {finished.stderr.strip()[-300:]}")
