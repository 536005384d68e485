"""The GPU and what is installed around it, without anything that names a host, a user or a path."""

import datetime
import glob
import os
import pathlib
import platform
import re
import shutil
import subprocess
import threading
import time


def output_of(command, timeout=60):
    """Empty where it cannot be run."""
    try:
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=timeout
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def gpus():
    text = output_of(["nvidia-smi", "-L"])
    return [line for line in text.splitlines() if line.startswith("GPU ")]


def _query(fields):
    text = output_of(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"])
    return [word.strip() for word in text.splitlines()[0].split(",")] if text else []


def find_tool(name):
    """A program of the toolkit, wherever it lies; None where there is none."""
    found = shutil.which(name)
    patterns = (
        f"/usr/local/cuda*/bin/{name}",
        f"/opt/nvidia/nsight-compute/*/{name}",
        f"/usr/local/cuda*/nsight-compute*/{name}",
    )
    candidates = [found] if found else []
    for pattern in patterns:
        candidates += sorted(glob.glob(pattern), reverse=True)
    return candidates[0] if candidates else None


def library_folders(python):
    """Where NVIDIA's libraries may lie: the linker's own, the toolkit's, PyTorch's wheels'."""
    folders = [os.path.dirname(path) for path in re.findall(r"=> (/\S+)", output_of(["ldconfig", "-p"]))]
    folders += os.environ.get("LD_LIBRARY_PATH", "").split(":")
    folders += glob.glob("/usr/local/cuda*/lib64") + glob.glob("/usr/local/cuda*/targets/*/lib")
    site = output_of([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    if site:
        folders += glob.glob(f"{site}/nvidia/*/lib") + [f"{site}/torch/lib"]
    return [pathlib.Path(folder) for folder in dict.fromkeys(folders) if folder]


def find_library(name, python):
    for folder in library_folders(python):
        if (folder / name).exists():
            return folder / name
    return None


def _processor():
    match = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    return match[1] if match else platform.machine()


def describe(settings):
    gpu = _query("name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit")
    gpu += ["?"] * (6 - len(gpu))
    nvcc = find_tool("nvcc")
    release = re.search(r"release (\S+),", output_of([nvcc, "--version"]) if nvcc else "")
    torch = output_of(
        [
            settings.python,
            "-c",
            "import torch; print(torch.__version__, 'cuDNN', torch.backends.cudnn.version())",
        ],
        timeout=120,
    )
    tree = output_of(["git", "-C", settings.root, "rev-parse", "--short=12", "HEAD"])
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "commit of the programs": settings.facts.get("commit", "?"),
        "commit of these scripts": tree or "not known",
        "GPU": gpu[0] if gpu[0] != "?" else "none",
        "driver": gpu[1],
        "GPU memory": gpu[2],
        "highest clocks": f"{gpu[3]} processors, {gpu[4]} memory",
        "power limit": gpu[5],
        "programs' toolkit": settings.facts.get("toolkit", "?"),
        "toolkit here": release[1] if release else "none",
        "PyTorch": torch or "none",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "libc": " ".join(platform.libc_ver()),
        "ncu": "yes" if find_tool("ncu") else "no",
        "compute-sanitizer": "yes" if find_tool("compute-sanitizer") else "no",
    }


class Clocks:
    """The GPU's clocks, power and temperature, twice a second, for the report."""

    def __init__(self):
        self._samples = []  # (time, SM MHz, memory MHz, W, degrees)
        try:
            self._child = subprocess.Popen(
                [
                    "nvidia-smi",
                    "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu",
                    "--format=csv,noheader,nounits",
                    "-lms",
                    "500",
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError:
            self._child = None
            return
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._child.stdout:
            try:
                self._samples.append((time.monotonic(), *map(float, line.split(","))))
            except ValueError:
                pass

    def since(self, began):
        """One line, or an empty one where nothing is known."""
        samples = [sample[1:] for sample in self._samples if sample[0] >= began]
        if not samples:
            return ""
        sm, memory, power, degrees = (sorted(column) for column in zip(*samples))
        return (
            f"Clocks meanwhile: processors {sm[len(sm) // 2]:.0f} MHz "
            f"({sm[0]:.0f} - {sm[-1]:.0f}), memory {memory[len(memory) // 2]:.0f} MHz; "
            f"up to {power[-1]:.0f} W and {degrees[-1]:.0f} degrees."
        )

    def close(self):
        if self._child:
            self._child.kill()
            self._child.wait()
