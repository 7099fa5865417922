"""The system user that root's servers belong to."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.stack import ROOT

STARTS = 6
END_S = 60
# Whoever has loaded everything waits for the word, so that all of them look in the same moment.
LOOK = """
import sys
from cli.owner import server_owner
print("ready", flush=True)
sys.stdin.readline()
print(server_owner(sys.argv[1]).uid)
"""


@pytest.fixture
def unknown_user() -> Iterator[str]:
    """A name that no user has; whoever gets it is removed again."""
    if os.geteuid() != 0 or not shutil.which("userdel"):
        pytest.skip("only root adds system users, and Debian's tools remove them")
    name = f"forma-test-{os.getpid()}"
    yield name
    subprocess.run(["userdel", name], check=False, capture_output=True)


def test_several_first_starts_at_once_agree_on_one_system_user(unknown_user: str) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", LOOK, unknown_user],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(STARTS)
    ]
    for start in starts:
        assert start.stdout is not None
        assert start.stdout.readline() == "ready\n"
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("go\n")
        start.stdin.flush()
    said = [start.communicate(timeout=END_S) for start in starts]
    assert [start.returncode for start in starts] == [0] * STARTS, said
    assert {int(out) for out, _ in said} == {pwd.getpwnam(unknown_user).pw_uid}
