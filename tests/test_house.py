"""What must stay true of the project's own files."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("actors", "supervisors", "runtime", "benchmarks", "examples", "tests")


def test_no_file_is_over_450_lines() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files
    }

    assert len(lengths) > 50
    assert {name: length for name, length in lengths.items() if length > 450} == {}


def test_every_floor_is_typed_for_its_users() -> None:
    assert all((ROOT / floor / "py.typed").exists() for floor in FOLDERS[:3])
