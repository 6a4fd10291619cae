"""The stubs say what the module has, and a typed program passes."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def mypy(*words, cwd):
    done = subprocess.run([sys.executable, "-m", *map(str, words)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_stubs_are_the_modules(tmp_path):
    mypy("mypy.stubtest", "lenet", cwd=tmp_path)


def test_a_typed_program_passes(tmp_path):
    mypy("mypy", "--strict", HERE / "typed.py", cwd=tmp_path)


def test_the_checker_sees_types(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import lenet\nlenet.load(3)\nlenet.train(epochs='a')\nx: int = lenet.load('a').summary()\n")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", wrong], cwd=tmp_path, capture_output=True, text=True)
    assert [line.split(":")[1] for line in done.stdout.splitlines()[:-1]] == ["2", "3", "4"], done.stdout
