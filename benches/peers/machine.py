"""What a report says of the machine and of the versions that were measured."""

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess


def machine():
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": cpu[1] if cpu else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_average": list(os.getloadavg()),
    }


def versions(requirements, postgres):
    found = {"postgresql": postgres, "python": platform.python_version()}
    found["rowstream"] = said(["git", "describe", "--always", "--dirty"])
    found["rustc"] = said(["rustc", "--version"])
    for name in requirements:
        try:
            found[name] = importlib.metadata.version(name.split("[")[0])
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def said(command):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
