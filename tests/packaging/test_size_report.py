"""The table of sizes: each package, the user's files, and the sum."""

from okibi.packaging.size_limits import IMAGE, UNZIPPED
from okibi.packaging.size_report import Part, check_sizes, make_parts, render_table
from okibi.packaging.targets import parse_target

OWNERS = {
    "app.py": "your files",
    "boto3/__init__.py": "boto3",
    "lib/trio/__init__.py": "trio",
    "lib/okibi/tree.py": "okibi",
}


def test_bytecode_counts_with_its_source() -> None:
    sizes = {
        "app.py": 10, "__pycache__/app.cpython-313.pyc": 5,
        "boto3/__init__.py": 100, "boto3/__pycache__/__init__.cpython-313.pyc": 50,
    }  # fmt: skip

    parts = make_parts(OWNERS, sizes, sizes)

    assert parts == [Part("boto3", 150, 150), Part("your files", 15, 15)]


def test_files_of_nobody_else_are_okibi_s() -> None:
    assert make_parts(OWNERS, {"bootstrap": 7}, {"bootstrap": 3}) == [Part("okibi", 7, 3)]


def test_the_start_image_is_a_part_of_its_own() -> None:
    sizes = {"lib/okibi.image": 7, "lib/okibi/tree.py": 5}

    parts = make_parts(OWNERS, sizes, sizes, {"okibi": 3.0})

    assert parts == [Part("start image", 7, 7), Part("okibi", 5, 5, 3.0)]


def test_import_times_are_added_up_by_part() -> None:
    sizes = {"boto3/__init__.py": 100, "lib/trio/__init__.py": 50}
    times = {"boto3": 30.0, "trio": 20.0, "json": 2.0, "ssl": 1.5}

    parts = make_parts(OWNERS, sizes, sizes, times)

    assert parts == [
        Part("boto3", 100, 100, 30.0),
        Part("trio", 50, 50, 20.0),
        Part("Python", 0, 0, 3.5),
    ]


def test_the_table_ends_with_the_sum() -> None:
    parts = [Part("boto3", 3 * 2**20, 2**20), Part("trio", 2**20, 2**19)]

    assert render_table(parts) == (
        "       MB unzipped  MB in the zip\n"
        "boto3         3.00           1.00\n"
        "trio          1.00           0.50\n"
        "all           4.00           1.50\n"
    )


def test_many_small_parts_are_one_row() -> None:
    parts = [Part(f"p{number}", 100 - number, 1, 0.5) for number in range(40)]

    lines = render_table(parts).splitlines()

    assert lines[0].endswith("ms to import")
    assert lines[-2].startswith("16 more ")
    assert lines[-1].split()[-1] == "20.0"


def test_a_package_over_the_limit_is_refused_with_its_largest_parts() -> None:
    zipped = parse_target("3.13", "x86_64", "managed")
    image = parse_target("3.13", "x86_64", "image")
    parts = [Part("scipy", UNZIPPED - 2**20, 0), Part("pandas", 2**20, 0)]
    assert check_sizes(parts, zipped) == ""

    parts += [Part(f"small-{number}", 2**18, 0) for number in range(4)]

    assert check_sizes(parts, zipped) == (
        "the package has 251.0 MB unzipped, and Lambda allows 250.0 MB; the largest parts are scipy"
        " (249.0 MB), pandas (1.0 MB), small-0 (0.2 MB), small-1 (0.2 MB): exclude files in"
        " [tool.okibi.package], or use --format image, which may have 10,240.0 MB"
    )
    assert check_sizes(parts, image) == ""
    assert "Lambda allows 10,240.0 MB" in check_sizes([Part("torch", IMAGE + 1, 0)], image)
