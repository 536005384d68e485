"""The machine and the commit, without anything that names a host, a user or a path."""

import datetime
import os
import pathlib
import re
import resource
import subprocess
import time

FLAGS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")


def _lscpu():
    environment = dict(os.environ, LC_ALL="C")
    text = subprocess.run(["lscpu"], capture_output=True, text=True, env=environment).stdout
    return {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
    }


def _memory_gib():
    text = pathlib.Path("/proc/meminfo").read_text()
    return int(re.search(r"MemTotal:\s+(\d+)", text)[1]) / 2**20


def _git(root, *arguments):
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True
    ).stdout.strip()


def has_bf16():
    return bool({"avx512_bf16", "amx_bf16"} & set(_lscpu().get("Flags", "").split()))


def load():
    return os.getloadavg()[0]


class Disturbance:
    """What others took from this machine since the beginning, in seconds of a core."""

    def __init__(self):
        self._began = time.monotonic()
        self._start = self._now()

    @staticmethod
    def _now():
        fields = [
            int(word) / os.sysconf("SC_CLK_TCK")
            for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
        ]
        user, nice, system, _, _, irq, softirq, steal = fields
        own = sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        return user + nice + system + irq + softirq - own, steal

    def shares(self):
        """(other programs here, other guests of the host), as shares of the cores' time."""
        core_seconds = max(time.monotonic() - self._began, 1e-9) * os.cpu_count()
        return tuple(
            max(now - start, 0.0) / core_seconds for now, start in zip(self._now(), self._start)
        )


def _compiler(sequela):
    text = subprocess.run([str(sequela), "--version"], capture_output=True, text=True).stdout
    version = re.search(r"compiler\s+(.+)", text)[1]
    return f"g++ {version}" if version[0].isdigit() else version


def describe(root, sequela):
    cpu = _lscpu()
    flags = set(cpu.get("Flags", "").split())
    thp = re.search(
        r"\[(\w+)\]", pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    )
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git(root, "rev-parse", "--short=12", "HEAD")
        + (", with uncommitted changes" if changed else ""),
        "cpu": f"{cpu.get('Model name', '?')}, family {cpu.get('CPU family', '?')} model {cpu.get('Model', '?')}",
        "cores": os.cpu_count(),
        "hypervisor": cpu.get("Hypervisor vendor", "none"),
        "flags": " ".join(flag for flag in FLAGS if flag in flags),
        "caches": f"L2 {cpu.get('L2 cache', '?')}, L3 {cpu.get('L3 cache', '?')}",
        "memory": f"{_memory_gib():.1f} GiB",
        "compiler": _compiler(sequela),
        "huge pages": thp[1] if thp else "?",
        "load at the start": f"{load():.2f}",
    }


def folder_name(facts):
    cpu = re.sub(r"[^a-z0-9]+", "-", facts["cpu"].lower()).strip("-")
    return f"{facts['date'][:10]}_{cpu}"
